SELECT epoch, next_offset, source FROM sink_offsets WHERE app_id = $1 AND topic = $2 AND partition = $3 FOR UPDATE
