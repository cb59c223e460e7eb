-- Verdicts that a server gave, newest first: from when to when each was said, and over which requests it was said last.
-- $since: time, optional; only what was still said at or after it
-- $until: time, optional; only what was first said before it
-- $limit: integer, optional; at most so many rows
-- A verdict counts for the question that its address asks. One that says the same again is the same row: "times" says how often.
SELECT utc(first_ns) AS first_said, utc(last_ns) AS last_said, times, verdict, sentence, nullif(cause, '') AS cause,
       utc(start_ns) AS window_start, utc(end_ns) AS window_end, asked_by, address, alpha
FROM verdicts
WHERE ($since::BIGINT IS NULL OR last_ns >= $since) AND ($until::BIGINT IS NULL OR first_ns < $until)
ORDER BY last_ns DESC, number DESC
LIMIT coalesce($limit::BIGINT, 9223372036854775807);
