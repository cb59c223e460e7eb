-- A row is a call that enters a node, or that leaves one for something that sends no spans (inferred), with its request and slice of time.
-- Nodes are services or, finer, their operations; steps from one operation to another of the same service are calls then.
-- source is null where a request begins or its caller's span is missing; by_link marks calls known only from a span link, which add an
-- edge but are not counted among the target's calls, because the same span may stand here for its parent, too.
CREATE OR REPLACE TEMP TABLE graph_calls AS
WITH callers AS (
    -- Ids may repeat within a trace (clients that share their span's id with the server): the earliest span is the caller.
    SELECT span, arg_min(service, start_ns) AS service, arg_min(node, start_ns) AS node, arg_min(kind, start_ns) AS kind
    FROM graph_spans WHERE NOT evaluation_only GROUP BY span
),
entered AS (
    SELECT p.node AS source, c.node AS target, 'service' AS type,
           CASE WHEN c.kind = 'consumer' OR p.kind = 'producer' THEN 'async' ELSE 'sync' END AS kind,
           c.failed, c.dur_ns, c.span, c.trace, c.slice
    FROM graph_spans c LEFT JOIN callers p ON c.parent = p.span
    WHERE NOT c.evaluation_only AND (p.node IS NULL OR p.node <> c.node)
),
links AS (
    SELECT span, node, failed, dur_ns, trace, slice, unnest(from_json(links, '[{"trace_id": "VARCHAR", "span_id": "VARCHAR"}]')) AS link
    FROM graph_spans WHERE links IS NOT NULL AND NOT evaluation_only
),
-- A link may lead to a request of another window, so the whole store is asked who was linked.
linked_spans AS (
    SELECT hash(trace_id, span_id) AS span, arg_min(CASE WHEN $by_operation THEN service || ' / ' || operation ELSE service END, start_ns) AS node
    FROM spans
    WHERE hash(trace_id, span_id) IN (SELECT hash(link.trace_id, link.span_id) FROM links)
    GROUP BY 1
),
by_link AS (
    SELECT DISTINCT p.node AS source, l.node AS target, 'service' AS type, 'async' AS kind, l.failed, l.dur_ns, l.span, l.trace, l.slice
    FROM links l JOIN linked_spans p ON hash(l.link.trace_id, l.link.span_id) = p.span
    WHERE p.node <> l.node
),
answered AS (
    -- Spans below which the call goes on: the callee's own span, or the client span of the library that the outer one wraps.
    SELECT DISTINCT c.parent AS span
    FROM graph_spans c JOIN callers p ON c.parent = p.span
    WHERE NOT c.evaluation_only AND (c.service <> p.service OR c.kind IN ('client', 'producer', 'server', 'consumer'))
),
unanswered AS (
    SELECT node AS source, service, kind, failed, dur_ns, span, trace, slice,
           lower(coalesce(names[1], names[2])) AS db, coalesce(names[3], names[4]) AS namespace,
           lower(names[5]) AS messaging, coalesce(names[6], names[7]) AS destination,
           coalesce(names[8], names[9]) AS peer, coalesce(names[10], names[11]) AS address, names[12] AS rpc
    FROM graph_spans
    WHERE names IS NOT NULL AND NOT evaluation_only AND span NOT IN (SELECT span FROM answered UNION ALL SELECT span FROM linked_spans)
),
inferred AS (
    SELECT source, service,
           CASE WHEN db IS NOT NULL THEN concat_ws(':', db, CASE WHEN cached THEN coalesce(address, namespace) ELSE coalesce(namespace, address) END)
                WHEN messaging IS NOT NULL THEN concat_ws(':', messaging, coalesce(destination, address))
                -- An unspecified kind may be a server's span, whose server.address is its own.
                ELSE coalesce(peer, CASE WHEN kind <> 'unspecified' THEN coalesce(address, rpc) END) END AS target,
           CASE WHEN cached THEN 'cache' WHEN db IS NOT NULL THEN 'database' WHEN messaging IS NOT NULL THEN 'queue' ELSE 'external' END AS type,
           CASE WHEN kind = 'producer' THEN 'async' ELSE 'sync' END AS kind,
           failed, dur_ns, span, trace, slice
    FROM (SELECT *, coalesce(db IN ('redis', 'memcached', 'valkey', 'keydb', 'dragonfly', 'hazelcast', 'aerospike'), false) AS cached FROM unanswered)
)
SELECT source, target, type, kind, failed, dur_ns, trace, slice, false AS by_link FROM entered
UNION ALL
SELECT source, target, type, kind, failed, dur_ns, trace, slice, true FROM by_link l
WHERE NOT EXISTS (FROM entered e WHERE e.span = l.span AND e.source = l.source AND e.target = l.target AND e.kind = 'async')
UNION ALL
SELECT source, target,
       CASE WHEN target IN (SELECT service FROM graph_spans) THEN 'service' ELSE type END, kind, failed, dur_ns, trace, slice, false
FROM inferred
WHERE target IS NOT NULL AND target <> service;
