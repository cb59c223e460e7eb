-- One row per evaluation, whichever way it came and however often: an evaluation is a flag at a level on a span.
CREATE VIEW flag_evaluations AS
SELECT trace_id, span_id, flag_key, variant,
       min(context_id) FILTER (context_id <> '') AS context_id,
       min(provider) FILTER (provider <> '') AS provider,
       min(reason) FILTER (reason <> '') AS reason,
       min(time_ns) AS time_ns
FROM flag_records
GROUP BY trace_id, span_id, flag_key, variant;

-- A row is a distinct span: what a retry repeated is counted once.
CREATE VIEW distinct_spans AS
SELECT * FROM spans
QUALIFY row_number() OVER (PARTITION BY trace_id, span_id, service, kind, start_ns ORDER BY dur_ns DESC, operation) = 1;
