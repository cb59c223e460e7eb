-- attr('key') is any attribute of a span by its name: the span's own first, then its resource's, then its scope's, as text.
-- The empty string before the key keeps its type open, so that DuckDB binds the columns where the macro is used and not here.
CREATE MACRO attr(k) AS coalesce(
    json_extract_string(attributes, '$."' || replace(replace('' || k, chr(92), chr(92) || chr(92)), '"', chr(92) || '"') || '"'),
    json_extract_string(resource, '$.attributes."' || replace(replace('' || k, chr(92), chr(92) || chr(92)), '"', chr(92) || '"') || '"'),
    json_extract_string(scope, '$.attributes."' || replace(replace('' || k, chr(92), chr(92) || chr(92)), '"', chr(92) || '"') || '"')
);
