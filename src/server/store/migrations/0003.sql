-- Workers of the original.

-- What such a worker tells of an execution and asks for again: a Keepsake as JSON.
ALTER TABLE execution ADD COLUMN keepsake TEXT;
