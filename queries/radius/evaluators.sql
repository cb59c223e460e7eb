-- A row is a trace that evaluated the flag $key (at the level $variant, or at any with null) and the service that did it; the service is null
-- where the evaluating span is not in the store.
SELECT DISTINCT hash(f.trace_id) AS trace, s.service
FROM flag_records f LEFT JOIN spans s ON f.trace_id = s.trace_id AND f.span_id = s.span_id
WHERE f.flag_key = $key AND ($variant IS NULL OR f.variant = $variant);
