-- A row is a span as numbers only: text never reaches the kernels. Read in one pass over the whole store; the engine keeps the spans of the
-- window's traces, which costs less than a join with them here.
-- marks: the kind in the lowest three bits, then 8 if the span failed, 16 if it only records a flag evaluation, and 32 if a link names its
-- parent, which says that the span follows from it and is no part of it. Links are null in most rows.
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
FROM spans;
