-- As what a user chose to be seen: online, away, busy or invisible.
ALTER TABLE users ADD COLUMN status TEXT NOT NULL DEFAULT 'online';
