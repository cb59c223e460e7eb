-- A row is a version of a service in the whole store: when it was first seen, in how many spans, and when the store ends.
SELECT service, version, min(start_ns) AS first_seen, count(*) AS spans, max(max(start_ns)) OVER () AS store_end
FROM spans
WHERE version IS NOT NULL
GROUP BY ALL
ORDER BY service, first_seen, version;
