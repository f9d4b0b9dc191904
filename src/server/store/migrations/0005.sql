-- Tokens that end, and when each was used.

-- None: for ever.
ALTER TABLE token ADD COLUMN expires_at INTEGER;
-- None: never, or not since this column is here. Written once a minute.
ALTER TABLE token ADD COLUMN last_used_at INTEGER;
