-- attr('key') is any attribute of a span by its name: the span's own first, then its resource's, then its scope's, as text.
-- The key becomes a JSON pointer (RFC 6901): any text is a key then, also the empty one, which a JSONPath cannot say. The empty
-- string before it keeps its type open, so that DuckDB binds the columns where the macro is used and not here.
CREATE OR REPLACE MACRO attr(k) AS coalesce(
    json_extract_string(attributes, '/' || replace(replace('' || k, '~', '~0'), '/', '~1')),
    json_extract_string(resource, '/attributes/' || replace(replace('' || k, '~', '~0'), '/', '~1')),
    json_extract_string(scope, '/attributes/' || replace(replace('' || k, '~', '~0'), '/', '~1'))
);

-- utc(ns) is a time in nanoseconds since the epoch as RFC 3339 text, to the microsecond.
CREATE OR REPLACE MACRO utc(ns) AS strftime(make_timestamp((ns) // 1000), '%Y-%m-%dT%H:%M:%S.%fZ');

-- ms(ns) is a duration in nanoseconds as milliseconds.
CREATE OR REPLACE MACRO ms(ns) AS (ns) / 1e6;
