-- After a COPY: the offset, and the users who are new.
WITH advanced AS (
    UPDATE sink_offsets SET next_offset = greatest(next_offset, $3) WHERE topic = $1 AND partition = $2
)
INSERT INTO users (user_id) SELECT * FROM unnest(string_to_array($4, ' ')::uuid[]) AS given (user_id)
WHERE NOT EXISTS (SELECT FROM users AS known WHERE known.user_id = given.user_id)
