-- A row is a variant of $flag in the whole store.
SELECT DISTINCT variant FROM flag_records WHERE flag_key = $flag AND variant IS NOT NULL ORDER BY variant;
