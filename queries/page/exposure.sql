-- A row is a variant of a flag in a slice of the window: how many traces saw it.
-- $slice_ns long slices count from $since. An evaluation that says no time is in no slice.
SELECT flag_key, variant, (time_ns - $since) // $slice_ns AS slice, count(DISTINCT trace_id) AS traces
FROM flag_records
WHERE time_ns >= $since AND time_ns < $until AND variant IS NOT NULL
GROUP BY ALL
ORDER BY flag_key, variant, slice;
