-- Dates are microseconds since 1970-01-01T00:00:00Z. States are the words of
-- the wire. Ids are given by the server and never used twice.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE batch (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    -- Tasks per state, hidden ones left out.
    waiting   INTEGER NOT NULL,
    pending   INTEGER NOT NULL,
    assigned  INTEGER NOT NULL,
    accepted  INTEGER NOT NULL,
    running   INTEGER NOT NULL,
    paused    INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed    INTEGER NOT NULL
);

CREATE TABLE task (
    id             INTEGER PRIMARY KEY,
    batch          INTEGER NOT NULL REFERENCES batch (id),
    state          TEXT NOT NULL,
    state_since    INTEGER NOT NULL,
    -- The latest execution.
    execution      INTEGER,
    attempts       INTEGER NOT NULL,
    retries_left   INTEGER NOT NULL,
    losses         INTEGER NOT NULL,
    -- 1: deleted, and only here until its execution has ended.
    hidden         INTEGER NOT NULL,
    failure        TEXT,
    failure_reason TEXT,
    created_at     INTEGER NOT NULL,
    created_by     TEXT NOT NULL,
    name           TEXT,
    -- The TaskSpec as JSON.
    spec           TEXT NOT NULL
);
CREATE INDEX task_by_state ON task (state, id);
CREATE INDEX task_by_batch ON task (batch, id);
CREATE INDEX task_by_name ON task (name, id) WHERE name IS NOT NULL;

CREATE TABLE requirement (
    task     INTEGER NOT NULL,
    required INTEGER NOT NULL,
    PRIMARY KEY (task, required)
) WITHOUT ROWID;
CREATE INDEX requirement_by_required ON requirement (required, task);

CREATE TABLE execution (
    id                INTEGER PRIMARY KEY,
    task              INTEGER NOT NULL,
    attempt           INTEGER NOT NULL,
    worker            INTEGER,
    worker_name       TEXT NOT NULL,
    state             TEXT NOT NULL,
    -- Why it shall end: cancel, relaunch or delete.
    ending            TEXT,
    assigned_at       INTEGER NOT NULL,
    accepted_at       INTEGER,
    started_at        INTEGER,
    ended_at          INTEGER,
    finished_at       INTEGER,
    failure           TEXT,
    failure_reason    TEXT,
    exit_code         INTEGER,
    signal            INTEGER,
    user_seconds      REAL,
    system_seconds    REAL,
    peak_memory_bytes INTEGER,
    stdout_bytes      INTEGER NOT NULL,
    stderr_bytes      INTEGER NOT NULL
);
CREATE INDEX execution_by_task ON execution (task, id);
CREATE INDEX execution_by_worker ON execution (worker, id);
CREATE INDEX execution_live ON execution (id) WHERE finished_at IS NULL;

CREATE TABLE worker (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    -- The Machine as JSON.
    machine       TEXT NOT NULL,
    batch         TEXT NOT NULL,
    concurrency   INTEGER NOT NULL,
    prefetch      INTEGER NOT NULL,
    wanted        TEXT NOT NULL,
    version       TEXT NOT NULL,
    succeeded     INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    created_by    TEXT NOT NULL
);

CREATE TABLE token (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    worker     INTEGER,
    -- SHA-256 of the secret, which is nowhere on this side.
    hash       BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
);

CREATE TABLE audit (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
);

CREATE TABLE reply (
    key          TEXT PRIMARY KEY,
    at           INTEGER NOT NULL,
    request_hash BLOB NOT NULL,
    reply        TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX reply_by_date ON reply (at);

-- Executions whose output is still to be taken out of the output store.
CREATE TABLE garbage (
    execution INTEGER PRIMARY KEY
);
