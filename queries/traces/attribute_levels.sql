-- A row is a value of an attribute in the whole store.
SELECT DISTINCT attr($key) AS level
FROM spans
WHERE (contains(attributes, $key) OR contains(resource, $key) OR contains(scope, $key)) AND attr($key) <> ''
ORDER BY ALL;
