-- Raises the partition's epoch, which shuts its former owner out.
INSERT INTO sink_offsets AS owned (topic, partition, epoch, next_offset) VALUES ($1, $2, 1, 0)
ON CONFLICT (topic, partition) DO UPDATE SET epoch = owned.epoch + 1
RETURNING epoch, next_offset
