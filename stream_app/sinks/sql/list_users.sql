-- After a COPY: the offset, and the users who are new.
WITH advanced AS (
    UPDATE sink_offsets SET next_offset = greatest(next_offset, $4)
    WHERE app_id = $1 AND topic = $2 AND partition = $3
)
INSERT INTO users (user_id) SELECT * FROM unnest(string_to_array($5, ' ')::uuid[]) AS given (user_id)
WHERE NOT EXISTS (SELECT FROM users AS known WHERE known.user_id = given.user_id)
