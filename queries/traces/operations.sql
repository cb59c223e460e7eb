-- A row is a distinct (service, operation, environment, instance) of the store with the hash that partition_spans.sql carries for it.
SELECT service, operation, coalesce(environment, '') AS environment, coalesce(instance, '') AS instance,
       hash(service, operation, coalesce(environment, ''), coalesce(instance, '')) AS name
FROM spans
GROUP BY ALL;
