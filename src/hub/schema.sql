-- The hub's memory. Ids rise for ever: AUTOINCREMENT never gives one twice.

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL,
    sender TEXT NOT NULL,
    text TEXT NOT NULL,
    kind TEXT NOT NULL,
    timestamp REAL NOT NULL,
    channel TEXT NOT NULL,
    reply_to INTEGER,
    metadata TEXT
);
CREATE INDEX messages_by_channel ON messages (channel, id);

CREATE TABLE instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    base TEXT NOT NULL,
    slot INTEGER NOT NULL,
    label TEXT NOT NULL,
    role TEXT NOT NULL DEFAULT '',
    token TEXT NOT NULL,
    channel TEXT NOT NULL DEFAULT 'general',
    registered_at REAL NOT NULL
);

-- Tokens that were replaced: they open nothing, but a registration that
-- carries one gets its instance back.
CREATE TABLE stale_tokens (
    instance INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    token TEXT NOT NULL
);

-- Every base that ever registered: a mention of one is answered truthfully.
CREATE TABLE bases (name TEXT PRIMARY KEY COLLATE NOCASE) WITHOUT ROWID;

-- The last message that an instance has read; `feed` is a channel or `*`.
CREATE TABLE cursors (
    instance INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    feed TEXT NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (instance, feed)
) WITHOUT ROWID;

-- Mentions that were not yet acknowledged.
CREATE TABLE triggers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    instance INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    sender TEXT NOT NULL,
    message INTEGER NOT NULL
);
CREATE INDEX triggers_by_instance ON triggers (instance, id);

CREATE TABLE channels (
    name TEXT PRIMARY KEY,
    hops INTEGER NOT NULL DEFAULT 0,
    paused INTEGER NOT NULL DEFAULT 0
);
INSERT INTO channels (name) VALUES ('general');
