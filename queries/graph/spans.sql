-- A row is a distinct span of the requests in graph_requests, orphans included. What a client's retry repeated is grouped away.
-- Its node is its service or, where $by_operation says so, its service and operation.
-- Ids become 64-bit hashes: joining a million pairs of hex texts takes three times as long. Attributes are looked into only where a call
-- may end at something that sends no spans itself.
CREATE OR REPLACE TEMP TABLE graph_spans AS
SELECT span, service, CASE WHEN $by_operation THEN service || ' / ' || operation ELSE service END AS node, operation,
       kind, start_ns, trace, slice, parent, dur_ns, failed, evaluation_only, links, names
FROM (
    SELECT hash(trace_id, span_id) AS span,
           service, kind, start_ns,
           any_value(trace) AS trace,
           any_value(slice) AS slice,
           CASE WHEN $by_operation THEN arg_max(operation, (dur_ns, operation)) END AS operation,
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
    FROM spans JOIN graph_requests ON hash(trace_id) = trace
    GROUP BY span, service, kind, start_ns
);
