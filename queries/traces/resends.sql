-- A row is a client span of the window that says it was sent again after a failure or a redirect (http.request.resend_count over 0).
-- Only attributes in which the key stands are read as JSON.
SELECT DISTINCT hash(trace_id) AS trace, hash(span_id) AS span
FROM spans
WHERE kind = 'client' AND contains(attributes, '"http.request.resend_count"')
  AND try_cast(json_extract_string(attributes, '/http.request.resend_count') AS BIGINT) > 0
  AND hash(trace_id) IN (SELECT trace FROM window_traces);
