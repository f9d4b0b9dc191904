-- Control of a running queue: priorities and demands, pauses, edits, tags, and
-- what people set on batches.

ALTER TABLE task ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
-- Cores and MiB of memory that it asks for; 0: no more than its slot.
ALTER TABLE task ADD COLUMN cpu INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN memory_mib INTEGER NOT NULL DEFAULT 0;
-- Who holds it back: no, person or batch.
ALTER TABLE task ADD COLUMN hold TEXT NOT NULL DEFAULT 'no';
-- How often it was edited.
ALTER TABLE task ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- The revision by which the agent goes.
ALTER TABLE execution ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- What the task asks of the required one: success or end.
ALTER TABLE requirement ADD COLUMN until TEXT NOT NULL DEFAULT 'success';

-- How far it is paused: no, start or tasks. (`paused` is a count.)
ALTER TABLE batch ADD COLUMN pause TEXT NOT NULL DEFAULT 'no';
-- The BatchSettings as JSON.
ALTER TABLE batch ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
-- Run times of commands that succeeded: a histogram as JSON.
ALTER TABLE batch ADD COLUMN runtimes TEXT NOT NULL DEFAULT '{}';
-- 1: deleted by a person, and only here until its tasks are. Its name is then
-- `/` and its id, which no batch can be called.
ALTER TABLE batch ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;

-- Why it was taken out of service.
ALTER TABLE worker ADD COLUMN failure TEXT;

CREATE TABLE tag (
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    task  INTEGER NOT NULL,
    PRIMARY KEY (name, value, task)
) WITHOUT ROWID;
CREATE INDEX tag_by_task ON tag (task);

-- For the task list. Each costs nothing until a task is what it is for: what
-- failed in a batch, what ended when, and what has a priority of its own.
CREATE INDEX task_failed ON task (batch, id) WHERE state = 'failed';
CREATE INDEX task_by_end ON task (state, state_since, id) WHERE state IN ('succeeded', 'failed');
CREATE INDEX task_by_priority ON task (priority, id) WHERE priority <> 0;

-- When it last became pending. One that was given away within the same commit
-- has the date before that.
ALTER TABLE task ADD COLUMN pending_since INTEGER NOT NULL DEFAULT 0;

-- When its data were complete.
ALTER TABLE execution ADD COLUMN ready_at INTEGER;
