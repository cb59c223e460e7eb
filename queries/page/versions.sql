-- A row is a version of a service in a slice of the window: how many spans came from it, and when its first span in the whole store began.
-- $slice_ns long slices count from $since. Spans that state no version are left out.
WITH begun AS (SELECT service, version, min(start_ns) AS first_ns FROM spans WHERE version IS NOT NULL GROUP BY ALL)
SELECT service, version, (start_ns - $since) // $slice_ns AS slice, count(*) AS spans, any_value(first_ns) AS first_ns
FROM spans JOIN begun USING (service, version)
WHERE start_ns >= $since AND start_ns < $until AND ($environment IS NULL OR environment = $environment)
GROUP BY ALL
ORDER BY service, first_ns, slice;
