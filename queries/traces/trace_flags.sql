-- A row is an evaluation of a flag: its trace, and the hash of flag and level as level_hashes.sql makes it.
SELECT hash(trace_id) AS trace, hash(flag_key, variant) AS level
FROM flag_records
WHERE variant IS NOT NULL;
