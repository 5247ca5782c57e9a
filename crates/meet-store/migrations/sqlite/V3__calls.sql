-- A meeting is where a room's call is held at a provider; it outlives its room until the provider has closed it, so
-- it refers to nothing. The provider's own name of it is not there while it is being opened.
CREATE TABLE meetings (
    reference  TEXT PRIMARY KEY NOT NULL,
    key_id     TEXT NOT NULL,
    room_id    TEXT NOT NULL,
    provider   TEXT NOT NULL,
    meeting    TEXT,
    opened_at  BIGINT NOT NULL,
    closing_at BIGINT
);
CREATE UNIQUE INDEX idx_meetings_open ON meetings (room_id) WHERE closing_at IS NULL;
CREATE INDEX idx_meetings_closing ON meetings (closing_at) WHERE closing_at IS NOT NULL;
CREATE INDEX idx_meetings_name ON meetings (provider, meeting);

-- Who was let into a meeting, and by which credential: a tenant at a generation, and a session if there was one.
CREATE TABLE seats (
    identity   TEXT PRIMARY KEY NOT NULL,
    reference  TEXT NOT NULL,
    known_as   TEXT,
    user_id    TEXT NOT NULL,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    holder     TEXT NOT NULL,
    generation BIGINT NOT NULL,
    session_id TEXT,
    expires_at BIGINT NOT NULL
);
CREATE INDEX idx_seats_meeting ON seats (reference, user_id);
CREATE INDEX idx_seats_user ON seats (user_id);
CREATE INDEX idx_seats_session ON seats (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX idx_seats_holder ON seats (holder);

CREATE UNIQUE INDEX idx_keys_visitors ON api_keys (kind) WHERE kind = 'visitors' AND deleted_at IS NULL;

-- A room that is known by its name and belongs to nobody. Once ended it is a tombstone.
CREATE TABLE quick_rooms (
    name     TEXT PRIMARY KEY NOT NULL,
    key_id   TEXT NOT NULL UNIQUE,
    room_id  TEXT NOT NULL UNIQUE,
    ends_at  BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX idx_quick_ends ON quick_rooms (ends_at) WHERE ended_at IS NULL;
CREATE INDEX idx_quick_ended ON quick_rooms (ended_at) WHERE ended_at IS NOT NULL;

-- The rooms of other tenants that a session reaches, and as whom.
CREATE TABLE session_grants (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    room_id    TEXT NOT NULL REFERENCES rooms (id),
    user_id    TEXT NOT NULL REFERENCES users (id),
    PRIMARY KEY (session_id, room_id)
);
CREATE INDEX idx_grants_room ON session_grants (room_id);
CREATE INDEX idx_grants_user ON session_grants (user_id);
