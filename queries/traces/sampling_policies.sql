-- A row is a trace that a tail sampler kept, with the name of the policy that kept it: the Collector's processor writes it to the
-- scope (of a composite policy that of the part). Scopes are few and repeat, so looking for the text in them is quick.
SELECT hash(trace_id) AS trace, min(coalesce(
           json_extract_string(scope, '/attributes/tailsampling.composite_policy'),
           json_extract_string(scope, '/attributes/tailsampling.policy'))) AS policy
FROM spans
WHERE contains(scope, '"tailsampling.policy"') AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY trace_id
HAVING policy IS NOT NULL;
