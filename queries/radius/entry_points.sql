-- A row is a service and operation of the store at which requests begin: at a span without a parent, at one whose parent is missing, and at
-- one that consumes a message, as in queries/read/entry_points.sql.
WITH present AS (SELECT trace_id, span_id AS parent_span_id FROM spans)
SELECT DISTINCT service, operation
FROM (
    SELECT service, operation, evaluation_only FROM spans ANTI JOIN present USING (trace_id, parent_span_id)
    UNION ALL
    SELECT service, operation, evaluation_only FROM spans WHERE kind = 'consumer'
)
WHERE NOT evaluation_only;
