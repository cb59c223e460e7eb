-- A row is a span with the attribute that the user named as unit, wherever in the request it stands.
SELECT hash(trace_id) AS trace, 0::INTEGER AS priority, hash(attr($key)) AS unit
FROM spans
WHERE attr($key) IS NOT NULL;
