-- A row is a bin of the latency of an edge in a slice of time: logarithmic, 16 bins an octave of nanoseconds.
SELECT slice, source, target, kind, floor(log2(greatest(dur_ns, 1)) * 16)::INTEGER AS bin, count(*) AS calls
FROM graph_calls
WHERE source IS NOT NULL
GROUP BY slice, source, target, kind, bin
ORDER BY slice, source, target, kind, bin;
