-- A row is an operation of callers whose failed calls end at a limit, with the bounds of such a call's duration; `name` as in operations.sql,
-- of one of its instances: the limit is that of all.
-- A limit shows where at least half of the long failed calls, and five of them, lie within 2% of their median. Long is what hardly any
-- successful call takes: with fewer than twenty successful ones there is no saying. Calls that are refused at once make no limit so.
WITH failing AS (
    SELECT DISTINCT hash(trace_id) AS trace, span_id, start_ns, hash(service, operation, coalesce(environment, '')) AS caller,
           hash(service, operation, coalesce(environment, ''), coalesce(instance, '')) AS name, dur_ns
    FROM spans
    WHERE status = 'error' AND kind IN ('client', 'unspecified') AND hash(trace_id) IN (SELECT trace FROM window_traces)
),
often AS (SELECT caller FROM failing GROUP BY caller HAVING count(*) >= 5),
longest AS (
    SELECT caller, quantile_disc(dur_ns, 0.99) AS usual
    FROM (
        SELECT hash(service, operation, coalesce(environment, '')) AS caller, dur_ns
        FROM spans
        WHERE status <> 'error' AND kind IN ('client', 'unspecified') AND hash(trace_id) IN (SELECT trace FROM window_traces)
    ) SEMI JOIN often USING (caller)
    GROUP BY caller
    HAVING count(*) >= 20
),
long AS (
    SELECT caller, name, dur_ns, median(dur_ns) OVER (PARTITION BY caller) AS centre
    FROM failing JOIN longest USING (caller)
    WHERE dur_ns >= usual
)
SELECT min(name) AS name, min(floor(centre * 0.98))::BIGINT AS shortest, max(ceil(centre * 1.02))::BIGINT AS longest
FROM long
GROUP BY caller
HAVING count(*) FILTER (dur_ns BETWEEN centre * 0.98 AND centre * 1.02) >= greatest(5, count(*) / 2)
ORDER BY name;
