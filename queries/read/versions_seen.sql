-- Which version of which service sent spans in which environment, and when.
-- $service: text, optional; only this service
-- $environment: text, optional; only requests of this deployment environment
SELECT service, version, environment, count(*) AS spans, count(*) FILTER (status = 'error') AS errors,
       count(DISTINCT trace_id) AS traces, count(DISTINCT instance) AS instances,
       utc(min(start_ns)) AS first_seen, utc(max(start_ns)) AS last_seen
FROM spans_of_requests(NULL, NULL, $environment::VARCHAR)
WHERE $service::VARCHAR IS NULL OR service = $service
GROUP BY service, version, environment
ORDER BY service, first_seen, version, environment;
