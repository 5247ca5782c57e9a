-- Ids are canonical UUIDs, times are milliseconds since 1970, flags are 0 or 1, digests are
-- hexadecimal. A tenant is a row of api_keys.

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY NOT NULL,
    kind         TEXT NOT NULL,
    key_hash     TEXT UNIQUE,
    prefix       TEXT,
    generation   BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used    BIGINT,
    deleted_at   BIGINT,
    stored_bytes BIGINT NOT NULL
);
CREATE INDEX idx_keys_deleted ON api_keys (deleted_at) WHERE deleted_at IS NOT NULL;

-- The number stands in every full-text term of the room.
CREATE TABLE rooms (
    number      INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    key_id      TEXT NOT NULL REFERENCES api_keys (id),
    name        TEXT NOT NULL,
    visibility  TEXT NOT NULL,
    media       TEXT NOT NULL,
    bot_enabled BIGINT NOT NULL,
    listed      BIGINT NOT NULL,
    public_from BIGINT NOT NULL,
    head_seq    BIGINT NOT NULL,
    epoch       TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT,
    deleted_at  BIGINT
);
CREATE INDEX idx_rooms_key ON rooms (key_id, id);
CREATE INDEX idx_rooms_public ON rooms (id) WHERE visibility = 'public';
CREATE INDEX idx_rooms_expires ON rooms (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX idx_rooms_deleted ON rooms (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE messages (
    pk          INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    room_id     TEXT NOT NULL REFERENCES rooms (id),
    seq         BIGINT NOT NULL,
    user_id     TEXT NOT NULL,
    sender      TEXT NOT NULL,
    sender_type TEXT NOT NULL,
    content     TEXT NOT NULL,
    reply_to    TEXT,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX idx_messages_room ON messages (room_id, seq);

-- The terms are made by the program: every run of anything but ASCII separators is one.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    words, content = '', contentless_delete = 1, detail = none, tokenize = "ascii tokenchars '_'"
);

CREATE TABLE users (
    id         TEXT PRIMARY KEY NOT NULL,
    key_id     TEXT NOT NULL REFERENCES api_keys (id),
    name       TEXT NOT NULL,
    folded     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    guest      BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX idx_users_key ON users (key_id, id);
CREATE INDEX idx_users_folded ON users (key_id, folded);
CREATE UNIQUE INDEX idx_users_own ON users (key_id, folded, kind) WHERE guest = 0;
CREATE INDEX idx_users_guest ON users (id) WHERE guest = 1;

CREATE TABLE invites (
    id         TEXT PRIMARY KEY NOT NULL,
    digest     TEXT NOT NULL UNIQUE,
    key_id     TEXT NOT NULL REFERENCES api_keys (id),
    room_id    TEXT REFERENCES rooms (id),
    role       TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    max_uses   BIGINT,
    uses       BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX idx_invites_room ON invites (room_id, id);
CREATE INDEX idx_invites_key ON invites (key_id);
CREATE INDEX idx_invites_expires ON invites (expires_at);

CREATE TABLE sessions (
    id         TEXT PRIMARY KEY NOT NULL,
    digest     TEXT NOT NULL UNIQUE,
    key_id     TEXT NOT NULL REFERENCES api_keys (id),
    generation BIGINT NOT NULL,
    user_id    TEXT NOT NULL REFERENCES users (id),
    role       TEXT NOT NULL,
    rooms      TEXT,
    invite_id  TEXT,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX idx_sessions_key ON sessions (key_id);
CREATE INDEX idx_sessions_user ON sessions (user_id);
CREATE INDEX idx_sessions_invite ON sessions (invite_id) WHERE invite_id IS NOT NULL;
CREATE INDEX idx_sessions_expires ON sessions (expires_at);

CREATE TABLE idempotency (
    key_id     TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    room_id    TEXT NOT NULL REFERENCES rooms (id),
    client_id  TEXT NOT NULL,
    body       TEXT NOT NULL,
    message_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id, client_id, key_id)
);
CREATE INDEX idx_idempotency_created ON idempotency (created_at);

-- Fixed windows that must outlive a restart.
CREATE TABLE counters (
    key_id     TEXT NOT NULL REFERENCES api_keys (id),
    name       TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    count      BIGINT NOT NULL,
    PRIMARY KEY (key_id, name)
);

-- What happened to the database as a whole: 'restored' says when it came from a backup.
CREATE TABLE marks (
    name TEXT PRIMARY KEY NOT NULL,
    at   BIGINT NOT NULL
);
