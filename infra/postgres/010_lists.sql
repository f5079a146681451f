-- Finds what a list was put to last, and what was changed since. Nothing here takes long.
CREATE INDEX decisions_lists ON decisions ((body ->> 'name'), (body ->> 'change'), (body ->> 'part'), seq)
WHERE kind = 'list';
