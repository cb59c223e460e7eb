-- A row is a slice of time that has requests, with how many.
SELECT slice, count(*) AS requests FROM graph_requests GROUP BY slice ORDER BY slice;
