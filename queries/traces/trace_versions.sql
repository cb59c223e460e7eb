-- A row is a trace and a service with several versions that it called; lowest and highest code differ where it met more than one.
SELECT hash(s.trace_id) AS trace, d.factor, min(d.code) AS lowest, max(d.code) AS highest
FROM spans s JOIN version_codes d ON s.service = d.key AND s.version = d.level
WHERE hash(s.trace_id) IN (SELECT trace FROM window_traces)
GROUP BY ALL;
