DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (due_us) WHERE done_us IS NULL;
DROP TABLE attempts;
DROP TABLE endpoint_marks;
DROP TABLE endpoint_states;
DROP TABLE endpoints;
