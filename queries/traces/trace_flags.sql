-- A row is a trace and a flag that it evaluated; lowest and highest code differ where one request saw several levels.
SELECT hash(f.trace_id) AS trace, d.factor, min(d.code) AS lowest, max(d.code) AS highest
FROM flag_records f JOIN flag_codes d ON f.flag_key = d.key AND f.variant = d.level
WHERE hash(f.trace_id) IN (SELECT trace FROM window_traces)
GROUP BY ALL;
