-- A row is a level of a flag or of a service's version in the whole store: what a reference level may be.
SELECT 'flag' AS kind, flag_key AS key, NULL::VARCHAR AS service, variant AS level
FROM flag_records
WHERE variant IS NOT NULL
GROUP BY ALL
UNION ALL
SELECT 'version', 'service.version', service, version
FROM spans
WHERE version IS NOT NULL
GROUP BY ALL
ORDER BY ALL;
