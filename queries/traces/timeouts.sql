-- A row is a failed span of the window that says it ran out of time: in its status message, the type or message of an exception, error.type,
-- gRPC's DEADLINE_EXCEEDED (4) or HTTP's 408 and 504. Stack traces are not read: every HTTP client has a method with such a name.
-- Only failed spans are read, and as JSON only those in whose text one of the words or keys stands.
WITH failed AS (
    SELECT trace_id, span_id, status_message, attributes, events
    FROM spans
    WHERE status = 'error' AND hash(trace_id) IN (SELECT trace FROM window_traces)
),
said AS (
    SELECT trace_id, span_id,
           concat_ws(' ', status_message, json_extract_string(attributes, '/error.type'),
                     array_to_string(json_extract_string(events, '$[*].attributes."exception.type"'), ' '),
                     array_to_string(json_extract_string(events, '$[*].attributes."exception.message"'), ' ')) AS words,
           json_extract_string(attributes, '/rpc.grpc.status_code') AS grpc,
           coalesce(json_extract_string(attributes, '/rpc.response.status_code'), '') AS rpc,
           coalesce(json_extract_string(attributes, '/http.response.status_code'),
                    json_extract_string(attributes, '/http.status_code'), json_extract_string(attributes, '/error.type')) AS http
    FROM failed
    WHERE regexp_matches(concat_ws(' ', status_message, attributes, events), '(?i)time[ds]?[ _-]*out|deadline|status_code|error\.type')
)
SELECT DISTINCT hash(trace_id) AS trace, hash(span_id) AS span
FROM said
WHERE regexp_matches(words, '(?i)time[ds]?[ _-]*out|deadline[ _-]*exceeded')
   OR grpc = '4' OR rpc IN ('4', 'DEADLINE_EXCEEDED') OR http IN ('408', '504');
