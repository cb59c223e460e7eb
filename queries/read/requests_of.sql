-- The traces of one person, session, tenant or request: where the given value stands in a correlation attribute or a flag's context.
-- $value: text; the id as it was sent
-- $key: text, optional; only where it stands under this attribute
-- The root is the earliest span without a parent in the data; a trace that came in part still has one.
WITH hits AS (
    SELECT trace_id, key FROM correlations WHERE value = $value
    UNION
    SELECT trace_id, 'feature_flag.context.id' AS key FROM flag_records WHERE context_id = $value
),
traces AS (
    SELECT trace_id, string_agg(DISTINCT key, ', ' ORDER BY key) AS found_in
    FROM hits
    WHERE trace_id <> '' AND ($key::VARCHAR IS NULL OR key = $key)
    GROUP BY trace_id
),
theirs AS (SELECT * FROM distinct_spans SEMI JOIN traces USING (trace_id)),
roots AS (
    SELECT trace_id, service, operation, status, start_ns, dur_ns
    FROM theirs ANTI JOIN (SELECT trace_id, span_id AS parent_span_id FROM theirs) AS parents USING (trace_id, parent_span_id)
    QUALIFY row_number() OVER (PARTITION BY trace_id ORDER BY start_ns, dur_ns DESC, span_id) = 1
),
sizes AS (SELECT trace_id, count(*) AS spans, count(*) FILTER (status = 'error') AS errors FROM theirs GROUP BY trace_id)
SELECT trace_id, found_in, roots.service, roots.operation, utc(roots.start_ns) AS "start", ms(roots.dur_ns) AS duration_ms, roots.status,
       coalesce(sizes.spans, 0) AS spans, coalesce(sizes.errors, 0) AS errors
FROM traces
LEFT JOIN roots USING (trace_id)
LEFT JOIN sizes USING (trace_id)
ORDER BY roots.start_ns, trace_id;
