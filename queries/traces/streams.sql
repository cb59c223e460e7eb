-- A row is an operation of the window whose calls are long-lived streams: at least one lasts $long_ns, and it says that it is a web
-- socket or nine calls in ten last as long. A single slow call makes no stream: hanging requests are what an analysis looks for.
-- Attributes are read only from the few spans that last so long.
WITH long AS (
    SELECT service, operation,
           bool_or(coalesce(attr('http.response.status_code'), attr('http.status_code'), '') = '101'
                   OR coalesce(attr('url.scheme'), attr('http.scheme'), '') IN ('ws', 'wss')
                   OR coalesce(attr('network.protocol.name'), '') = 'websocket') AS stated
    FROM spans
    WHERE dur_ns >= $long_ns AND kind IN ('server', 'client')
      AND hash(trace_id) IN (SELECT trace FROM window_traces)
    GROUP BY ALL
)
SELECT service, operation
FROM spans JOIN long USING (service, operation)
WHERE kind IN ('server', 'client') AND hash(trace_id) IN (SELECT trace FROM window_traces)
GROUP BY service, operation
HAVING bool_or(stated) OR quantile_disc(dur_ns, 0.1) >= $long_ns;
