-- Who works: each worker says every ten seconds that it is there.

CREATE TABLE workers (
    name         text PRIMARY KEY,
    version      text NOT NULL,
    concurrency  integer NOT NULL,
    running      integer NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX workers_heartbeat ON workers (heartbeat_at);
