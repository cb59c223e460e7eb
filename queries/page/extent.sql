-- The store's first and last start of a span, in nanoseconds; both null while there is none.
SELECT min(start_ns) AS first_ns, max(start_ns) AS last_ns, count(*) AS spans FROM spans;
