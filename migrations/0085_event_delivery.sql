-- Delivery of audit rows and security events to operators' sinks (docs/decisions/0085).

-- One row for each sink and chain: how far the sink has the chain.
CREATE TABLE event_streams (
    sink text NOT NULL CHECK (length(sink) BETWEEN 1 AND 40),
    chain text NOT NULL CHECK (chain IN ('audit_log', 'security_events')),
    -- Place of the last row that was delivered, put aside or not wanted.
    last_transaction xid8 NOT NULL,
    last_id uuid NOT NULL,
    -- How often the sink has refused the next event, and since when the event fails.
    refusals integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    next_at timestamptz NOT NULL DEFAULT now(),
    -- Time of the event that fails; null if none does.
    waiting_since timestamptz,
    last_status integer,
    last_error text,
    delivered_at timestamptz,
    -- The sink was in the settings of the leading scheduler, give or take an hour.
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, chain)
);

-- Events that were put aside, and what became of them when an admin sent them again.
CREATE TABLE event_deliveries (
    id uuid PRIMARY KEY,
    sink text NOT NULL,
    chain text NOT NULL CHECK (chain IN ('audit_log', 'security_events')),
    -- The row of that chain. Its retention may have removed it.
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    state text NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'queued', 'delivered')),
    -- Since the event was put aside or queued.
    attempts integer NOT NULL,
    last_status integer,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_deliveries_once UNIQUE (sink, chain, event_id)
);
CREATE INDEX event_deliveries_queued ON event_deliveries (sink, next_at) WHERE state = 'queued';
CREATE INDEX event_deliveries_settled ON event_deliveries (settled_at);
