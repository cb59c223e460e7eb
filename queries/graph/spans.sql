-- A row is a distinct span of the window: of the traces whose root started in [$start_ns, $end_ns), as queries/traces/window.sql has it,
-- orphans included. Null parameters read as "all". What a client's retry repeated is grouped away.
-- Ids become 64-bit hashes: joining a million pairs of hex texts takes three times as long. Attributes are looked into only where a call
-- may end at something that sends no spans itself.
CREATE OR REPLACE TEMP TABLE graph_spans AS
WITH traces AS (
    SELECT hash(trace_id) AS trace,
           coalesce(min(start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only), min(start_ns)) AS begun
    FROM spans
    GROUP BY trace
    HAVING ($start_ns IS NULL OR begun >= $start_ns) AND ($end_ns IS NULL OR begun < $end_ns)
       AND ($environment IS NULL OR $environment = coalesce(
               arg_min(coalesce(environment, ''), start_ns) FILTER (parent_span_id IS NULL AND NOT evaluation_only),
               arg_min(coalesce(environment, ''), start_ns)))
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
WHERE hash(trace_id) IN (SELECT trace FROM traces)
GROUP BY span, service, kind, start_ns;
