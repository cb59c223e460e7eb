-- A row is a request that began in the window, by its root: the slowest, the latest or the failed first, at most $limit.
WITH chosen AS (
    SELECT trace_id, arg_min((service, operation, start_ns, dur_ns, status, environment), (start_ns, service, operation)) AS root
    FROM spans
    WHERE parent_span_id IS NULL AND NOT evaluation_only AND start_ns >= $since AND start_ns < $until
      AND ($environment IS NULL OR environment = $environment)
      AND ($service IS NULL OR trace_id IN (SELECT trace_id FROM spans WHERE service = $service))
      AND ($flag IS NULL OR trace_id IN (
              SELECT trace_id FROM flag_records WHERE flag_key = $flag AND ($variant IS NULL OR variant = $variant)))
      AND ($value IS NULL OR trace_id IN (
              SELECT trace_id FROM correlations WHERE value = $value
              UNION ALL SELECT trace_id FROM flag_records WHERE context_id = $value
              UNION ALL SELECT lower($value)))
    GROUP BY trace_id
),
shown AS (
    SELECT trace_id, root FROM chosen
    WHERE ($entry IS NULL OR root[2] = $entry) AND ($order <> 'failed' OR root[5] = 'error')
    ORDER BY CASE $order WHEN 'latest' THEN root[3] ELSE root[4] END DESC, trace_id
    LIMIT $limit
),
sizes AS (SELECT trace_id, count(*) AS spans, count(DISTINCT service) AS services FROM spans SEMI JOIN shown USING (trace_id) GROUP BY trace_id),
flags AS (
    SELECT trace_id, string_agg(DISTINCT flag_key || '=' || variant, ', ' ORDER BY flag_key || '=' || variant) AS flags
    FROM flag_records SEMI JOIN shown USING (trace_id) WHERE variant IS NOT NULL GROUP BY trace_id
)
SELECT trace_id, root[1] AS service, root[2] AS operation, root[3] AS start_ns, ms(root[4]) AS duration_ms, root[5] = 'error' AS failed,
       spans, services, flags
FROM shown JOIN sizes USING (trace_id) LEFT JOIN flags USING (trace_id)
ORDER BY CASE $order WHEN 'latest' THEN root[3] ELSE root[4] END DESC, trace_id;
