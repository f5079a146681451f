-- Raises the partition's epoch, which shuts its former owner out.
INSERT INTO sink_offsets AS owned (app_id, topic, partition, epoch, next_offset) VALUES ($1, $2, $3, 1, 0)
ON CONFLICT (app_id, topic, partition) DO UPDATE SET epoch = owned.epoch + 1
RETURNING epoch, next_offset, topics
