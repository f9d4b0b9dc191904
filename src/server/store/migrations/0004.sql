-- What executions have made that others may take over: the key of all that one
-- was given, the folder, and the files as JSON.
CREATE TABLE cached (
    execution INTEGER PRIMARY KEY,
    key       TEXT NOT NULL,
    output    TEXT NOT NULL,
    files     TEXT NOT NULL
);
CREATE INDEX cached_by_key ON cached (key, execution);

-- Whose outputs an execution took over. The other one may be gone by now.
ALTER TABLE execution ADD COLUMN reused_execution INTEGER;
ALTER TABLE execution ADD COLUMN reused_task INTEGER;
