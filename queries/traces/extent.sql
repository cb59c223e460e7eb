-- A row is a table that reports are made from: the row number after its last row, and how many rows it has.
SELECT 0 AS place, coalesce(max(rowid) + 1, 0) AS after, count(*) AS rows FROM spans
UNION ALL
SELECT 1, coalesce(max(rowid) + 1, 0), count(*) FROM flag_records
UNION ALL
SELECT 2, coalesce(max(rowid) + 1, 0), count(*) FROM correlations
ORDER BY place;
