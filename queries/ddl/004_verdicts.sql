-- Version 2: verdicts last.

-- A row is a verdict that a server gave, once or many times: what says the same of the same address again only moves last_ns, the sentence
-- and the judged requests on. asked_by is who asked first: page | api | schedule. address is where it can be seen on that server, cause where
-- the first cause lies ('' without one), start_ns and end_ns when the judged requests began (null where they have no bounds). Times are
-- nanoseconds since the epoch. The rows are few and change in place, unlike those of the other tables.
CREATE TABLE verdicts (
    number BIGINT NOT NULL,
    first_ns BIGINT NOT NULL,
    last_ns BIGINT NOT NULL,
    times BIGINT NOT NULL,            -- how often it was said
    asked_by VARCHAR NOT NULL,
    address VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,         -- regression | no_regression | inconclusive | no_data
    sentence VARCHAR NOT NULL,
    cause VARCHAR NOT NULL,
    start_ns BIGINT,
    end_ns BIGINT,
    alpha DOUBLE NOT NULL
);
