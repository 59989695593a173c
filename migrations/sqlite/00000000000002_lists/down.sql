DROP INDEX legs_number;
DROP INDEX calls_started;
CREATE INDEX calls_started ON calls (started_us, id);
