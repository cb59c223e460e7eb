-- The levels of every flag: how often evaluated, in how many traces and for how many contexts.
-- $flag: text, optional; only this flag
SELECT flag_key, variant, count(*) AS evaluations, count(DISTINCT trace_id) AS traces,
       count(DISTINCT context_id) AS contexts, string_agg(DISTINCT provider, ', ' ORDER BY provider) AS providers,
       utc(min(time_ns)) AS first_seen, utc(max(time_ns)) AS last_seen
FROM flag_evaluations
WHERE $flag::VARCHAR IS NULL OR flag_key = $flag
GROUP BY flag_key, variant
ORDER BY flag_key, variant;
