-- A row is a span of the window that may be a call of something which sends no spans itself, with the name that the caller gives it, as the
-- service graph has it (queries/graph/calls.sql): a database's system with its namespace (a cache's with its address), a queue's with its
-- destination, else the peer's service name, the server's address, or the RPC service. Spans that another links to were answered.
-- Materialised, because a filter that is pushed below would parse the attributes anew for each of its parts.
WITH calls AS MATERIALIZED (
    SELECT hash(trace_id) AS trace, hash(span_id) AS span, service, kind,
           json_extract_string(attributes, [
               '$."db.system.name"', '$."db.system"', '$."db.namespace"', '$."db.name"',
               '$."messaging.system"', '$."messaging.destination.name"', '$."messaging.destination"',
               '$."service.peer.name"', '$."peer.service"',
               '$."server.address"', '$."net.peer.name"', '$."rpc.service"']) AS names
    FROM spans
    WHERE kind IN ('client', 'producer', 'unspecified') AND NOT evaluation_only
      AND hash(trace_id) IN (SELECT trace FROM window_traces)
      AND hash(trace_id, span_id) NOT IN (
          SELECT hash(link.trace_id, link.span_id)
          FROM (SELECT unnest(from_json(links, '[{"trace_id": "VARCHAR", "span_id": "VARCHAR"}]')) AS link FROM spans WHERE links IS NOT NULL))
),
parts AS MATERIALIZED (
    SELECT trace, span, service, kind,
           lower(coalesce(names[1], names[2])) AS db, coalesce(names[3], names[4]) AS namespace,
           lower(names[5]) AS messaging, coalesce(names[6], names[7]) AS destination,
           coalesce(names[8], names[9]) AS peer, coalesce(names[10], names[11]) AS address, names[12] AS rpc
    FROM calls
),
named AS (
    SELECT trace, span, service,
           CASE WHEN db IN ('redis', 'memcached', 'valkey', 'keydb', 'dragonfly', 'hazelcast', 'aerospike')
                THEN concat_ws(':', db, coalesce(address, namespace))
                WHEN db IS NOT NULL THEN concat_ws(':', db, coalesce(namespace, address))
                WHEN messaging IS NOT NULL THEN concat_ws(':', messaging, coalesce(destination, address))
                ELSE coalesce(peer, CASE WHEN kind <> 'unspecified' THEN coalesce(address, rpc) END) END AS name
    FROM parts
)
SELECT trace, span, name FROM named WHERE name IS NOT NULL AND name <> service;
