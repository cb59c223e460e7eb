-- A row is a verdict that this store's servers gave, newest first; as many as are shown, and one more if there are more.
SELECT first_ns, last_ns, times, asked_by, address, verdict, sentence, cause, start_ns, end_ns
FROM verdicts
ORDER BY last_ns DESC, number DESC
LIMIT $most::BIGINT + 1;
