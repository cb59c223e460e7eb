-- A row is a distinct (service, operation, environment) of the store with the hash that partition_spans.sql carries for it.
SELECT service, operation, coalesce(environment, '') AS environment,
       hash(service, operation, coalesce(environment, '')) AS name
FROM spans
GROUP BY ALL;
