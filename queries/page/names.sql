-- A row is a name that the page offers to choose from: a service, a flag, an environment, or an operation that requests enter at.
SELECT 'service' AS kind, service AS name FROM spans GROUP BY service
UNION ALL SELECT 'environment', environment FROM spans WHERE environment IS NOT NULL GROUP BY environment
UNION ALL SELECT 'entry', operation FROM spans WHERE parent_span_id IS NULL AND NOT evaluation_only GROUP BY operation
UNION ALL SELECT 'flag', flag_key FROM flag_records GROUP BY flag_key
ORDER BY kind, name;
