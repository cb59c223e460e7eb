-- A row is a span whose service states its version: its trace, and the hash of service and version as level_hashes.sql makes it.
SELECT hash(trace_id) AS trace, hash(service, version) AS level
FROM spans
WHERE version IS NOT NULL;
