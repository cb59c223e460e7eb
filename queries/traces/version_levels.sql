-- A row is a version of a service in the whole store, oldest first: the first is the reference the others are held against.
SELECT service, version, min(start_ns) AS first_seen
FROM spans
WHERE version IS NOT NULL AND ($environment IS NULL OR environment = $environment)
GROUP BY ALL
ORDER BY service, first_seen, version;
