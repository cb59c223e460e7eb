-- A row is a level of a factor with the hash by which trace_flags.sql and trace_versions.sql name it; level_codes is a table that the engine
-- lays beside the store.
SELECT hash(key, level) AS hash, factor, code FROM level_codes;
