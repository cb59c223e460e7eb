-- A row is a span of one of `chosen_traces` (a handful of the window's), as numbers only; the same columns as in partition_spans.sql.
-- Only the chosen traces' rows are hashed and marked: the whole window is not linked again for a picture.
SELECT hash(trace_id) AS trace,
       hash(span_id) AS span,
       CASE WHEN parent_span_id IS NULL THEN 0::UBIGINT ELSE hash(parent_span_id) END AS parent,
       start_ns AS start,
       dur_ns AS dur,
       (CASE kind WHEN 'internal' THEN 1 WHEN 'server' THEN 2 WHEN 'client' THEN 3
                  WHEN 'producer' THEN 4 WHEN 'consumer' THEN 5 ELSE 0 END
        + CASE WHEN status = 'error' THEN 8 ELSE 0 END
        + CASE WHEN evaluation_only THEN 16 ELSE 0 END
        + CASE WHEN links IS NOT NULL AND contains(links, parent_span_id) THEN 32 ELSE 0 END)::TINYINT AS marks,
       hash(service, operation, coalesce(environment, ''), coalesce(instance, '')) AS name
FROM spans
SEMI JOIN chosen_traces USING (trace_id);
