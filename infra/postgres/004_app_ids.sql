-- Each app has offsets of its own. Those of before have no name: the first worker that reads their topic takes
-- them over. The table has a row a partition: nothing here takes long.
ALTER TABLE sink_offsets ADD COLUMN app_id text NOT NULL DEFAULT '';
ALTER TABLE sink_offsets DROP CONSTRAINT sink_offsets_pkey, ADD PRIMARY KEY (app_id, topic, partition);
