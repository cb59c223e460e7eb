-- A row is a distinct (service, operation, environment, instance) of the store with the hash that partition_spans.sql carries for it.
-- Rows are numbered as they come, so they come in the order of their hashes: a window is numbered the same way whenever it is read.
SELECT service, operation, coalesce(environment, '') AS environment, coalesce(instance, '') AS instance,
       hash(service, operation, coalesce(environment, ''), coalesce(instance, '')) AS name
FROM spans
GROUP BY ALL
ORDER BY name;
