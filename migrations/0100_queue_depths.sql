-- Course of the queue's depth. The leading scheduler writes it; no request does.

CREATE TABLE queue_depths (
    -- Rows of minutes become rows of hours after 48 h.
    span         text NOT NULL CHECK (span IN ('minute', 'hour')),
    at           timestamptz NOT NULL,
    installation text NOT NULL,
    lane         text NOT NULL,
    -- The largest numbers that were seen in the span.
    waiting      bigint NOT NULL,
    delayed      bigint NOT NULL,
    running      bigint NOT NULL,
    oldest_ms    bigint NOT NULL,
    PRIMARY KEY (span, at, installation, lane)
);
