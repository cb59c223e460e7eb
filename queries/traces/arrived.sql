-- A row is a table that reports are made from, as in extent.sql: how many rows it has before a row number.
SELECT 0 AS place, count(*) AS rows FROM spans WHERE rowid < $first_spans
UNION ALL
SELECT 1, count(*) FROM flag_records WHERE rowid < $first_flag_records
UNION ALL
SELECT 2, count(*) FROM correlations WHERE rowid < $first_correlations
ORDER BY place;
