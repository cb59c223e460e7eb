-- A row is a distinct span of the window: of the requests whose root started in [$start, $end), orphans included.
-- $start: time, optional; $end: time, optional; $environment: text, optional; null reads as "all".
-- Ids become 64-bit hashes, because joining 1 M pairs of hex texts takes three times as long. What a client's retry repeated is grouped
-- away. Attributes are looked into only where a call may end at something that sends no spans itself.
CREATE OR REPLACE TEMP TABLE graph_spans AS
WITH requests AS (
    SELECT hash(trace_id) AS trace,
           -- A trace without a root in the data begins with its earliest span.
           coalesce(min(start_ns) FILTER (parent_span_id IS NULL), min(start_ns)) AS started,
           coalesce(arg_min(environment, start_ns) FILTER (parent_span_id IS NULL), arg_min(environment, start_ns)) AS environment
    FROM spans
    GROUP BY hash(trace_id)
)
SELECT hash(trace_id, span_id) AS span,
       service, kind, start_ns,
       min(hash(trace_id, parent_span_id)) FILTER (parent_span_id IS NOT NULL) AS parent,
       max(dur_ns) AS dur_ns,
       bool_or(status = 'error') AS failed,
       bool_or(evaluation_only) AS evaluation_only,
       min(links) AS links,
       min(CASE WHEN kind IN ('client', 'producer', 'unspecified') THEN json_extract_string(attributes, [
           '$."db.system.name"', '$."db.system"', '$."db.namespace"', '$."db.name"',
           '$."messaging.system"', '$."messaging.destination.name"', '$."messaging.destination"',
           '$."service.peer.name"', '$."peer.service"',
           '$."server.address"', '$."net.peer.name"', '$."rpc.service"']) END) AS names
FROM spans
WHERE hash(trace_id) IN (
    SELECT trace FROM requests
    WHERE ($start IS NULL OR started >= $start) AND ($end IS NULL OR started < $end)
      AND ($environment IS NULL OR environment = $environment)
)
GROUP BY hash(trace_id, span_id), service, kind, start_ns;
