-- The table has a row a partition: nothing here takes long.
-- Which topics, by their ids, an offset belongs to: JSON of stream_app/state/topics.py, '' where it is not known yet.
ALTER TABLE sink_offsets ADD COLUMN topics text NOT NULL DEFAULT '';
