-- How much agents may say in a row, and the seq of the last message that began their count anew: a person's, or the head
-- when an owner let them go on.
ALTER TABLE rooms ADD COLUMN agent_budget BIGINT NOT NULL DEFAULT 50;
ALTER TABLE rooms ADD COLUMN agent_share BIGINT NOT NULL DEFAULT 25;
ALTER TABLE rooms ADD COLUMN agents_paused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN person_seq BIGINT NOT NULL DEFAULT 0;
UPDATE rooms SET person_seq = head_seq;

-- What a user says of itself, as JSON.
ALTER TABLE users ADD COLUMN about TEXT;

-- A tenant's own users before its guests, the newest first.
CREATE INDEX idx_users_known ON users (key_id, guest, id DESC);

-- How far each user has read a room.
CREATE TABLE read_marks (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    room_id TEXT NOT NULL REFERENCES rooms (id),
    seq     BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id)
);
CREATE INDEX idx_marks_room ON read_marks (room_id);

-- Whom a message mentions. A user may be gone by the time that it is stored, so this refers to none.
CREATE TABLE mentions (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL REFERENCES rooms (id),
    seq     BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, seq)
);
CREATE INDEX idx_mentions_room ON mentions (room_id);
