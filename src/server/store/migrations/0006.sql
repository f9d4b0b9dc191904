-- Machines that are hired.

-- The Hire as JSON, of workers whose machine was hired.
ALTER TABLE worker ADD COLUMN hire TEXT;

-- Until when a hired machine may join with it, once.
ALTER TABLE token ADD COLUMN join_until INTEGER;

-- What hired machines that are gone have cost: amounts by currency as JSON.
ALTER TABLE batch ADD COLUMN spent TEXT NOT NULL DEFAULT '{}';

CREATE TABLE job (
    id          INTEGER PRIMARY KEY,
    action      TEXT NOT NULL,
    state       TEXT NOT NULL,
    -- None once the worker is gone.
    worker      INTEGER,
    worker_name TEXT NOT NULL,
    -- By what the machine was chosen: a JobOrder as JSON.
    order_json  TEXT NOT NULL,
    provider    TEXT NOT NULL,
    region      TEXT NOT NULL,
    flavor      TEXT NOT NULL,
    tries_left  INTEGER NOT NULL,
    cancelled   INTEGER NOT NULL,
    reason      TEXT,
    created_at  INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    created_by  TEXT NOT NULL
);

CREATE TABLE recruiter (
    batch     INTEGER NOT NULL,
    rank      INTEGER NOT NULL,
    -- The Recruiter as JSON, and whose providers it may use.
    recruiter TEXT NOT NULL,
    scope     TEXT NOT NULL,
    PRIMARY KEY (batch, rank)
) WITHOUT ROWID;
