-- Hash chain over the audit log and the security events (docs/decisions/0075).

-- The transaction that inserted the row: all rows below the oldest running transaction are final. The constant default
-- gives earlier rows the number 0 without rewriting the table.
ALTER TABLE audit_log ADD COLUMN transaction_id xid8 NOT NULL DEFAULT '0';
ALTER TABLE audit_log ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id();
ALTER TABLE security_events ADD COLUMN transaction_id xid8 NOT NULL DEFAULT '0';
ALTER TABLE security_events ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id();

-- A restored server counts its transactions from a lower number; `rts init-db` then adds this to the numbers of new rows.
ALTER TABLE audit_retention ADD COLUMN transaction_offset bigint NOT NULL DEFAULT 0;

CREATE TABLE audit_blocks (
    chain text NOT NULL CHECK (chain IN ('audit_log', 'security_events')),
    -- 1, 2, 3 … without gaps.
    position bigint NOT NULL CHECK (position > 0),
    -- The day of all its rows, in UTC, and the time of the newest.
    day date NOT NULL,
    newest timestamptz NOT NULL,
    -- The last row; the first is the one after the last row of the block before.
    last_transaction xid8 NOT NULL,
    last_id uuid NOT NULL,
    row_ids uuid[] NOT NULL,
    -- 32 bytes for each row.
    row_hashes bytea NOT NULL,
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain, position),
    CONSTRAINT audit_blocks_whole CHECK (octet_length(row_hashes) = 32 * cardinality(row_ids))
);

CREATE TABLE audit_checkpoints (
    chain text NOT NULL CHECK (chain IN ('audit_log', 'security_events')),
    -- The day of its signature, in UTC; today's is written again with every block.
    day date NOT NULL,
    -- The newest block.
    position bigint NOT NULL,
    hash bytea NOT NULL,
    head_transaction xid8 NOT NULL,
    head_id uuid NOT NULL,
    -- The last block whose rows may have been removed for their age; position 0 if there is none.
    base_position bigint NOT NULL,
    base_hash bytea NOT NULL,
    base_transaction xid8 NOT NULL,
    base_id uuid NOT NULL,
    -- The newest of the rows that may have been removed.
    base_newest timestamptz NOT NULL,
    signed_at timestamptz NOT NULL,
    -- Null if the scheduler has no key.
    key_id text,
    signature bytea,
    PRIMARY KEY (chain, day),
    CONSTRAINT audit_checkpoints_whole CHECK ((key_id IS NULL) = (signature IS NULL))
);

-- The functions see this schema alone, whatever the search path of the role that calls them.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- Only rows up to the base of the chain are removed, and their blocks with them.
CREATE OR REPLACE FUNCTION prune_audit_log(keep interval, most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    cutoff timestamptz;
    base audit_checkpoints;
    gone bigint;
BEGIN
    SELECT now() - greatest(keep, least_age) INTO cutoff FROM audit_retention WHERE least_age IS NOT NULL;
    SELECT * INTO base FROM audit_checkpoints WHERE chain = 'audit_log' ORDER BY day DESC LIMIT 1;
    -- Ids begin with their time, so the primary key finds old rows.
    DELETE FROM audit_log WHERE id IN (
        SELECT id FROM audit_log
        WHERE id < rpad(lpad(to_hex((extract(epoch FROM cutoff) * 1000)::bigint), 12, '0'), 32, '0')::uuid
            AND "timestamp" < cutoff AND (transaction_id, id) <= (base.base_transaction, base.base_id)
        ORDER BY id LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM audit_blocks WHERE chain = 'audit_log' AND position IN (
        SELECT position FROM audit_blocks
        WHERE chain = 'audit_log' AND position <= base.base_position AND newest < cutoff
        ORDER BY position LIMIT most);
    RETURN gone;
END $$;

CREATE OR REPLACE FUNCTION prune_security_events(keep interval, most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    cutoff timestamptz;
    base audit_checkpoints;
    gone bigint;
BEGIN
    SELECT now() - greatest(keep, least_age) INTO cutoff FROM audit_retention WHERE least_age IS NOT NULL;
    SELECT * INTO base FROM audit_checkpoints WHERE chain = 'security_events' ORDER BY day DESC LIMIT 1;
    DELETE FROM security_events WHERE id IN (
        SELECT id FROM security_events
        WHERE id < rpad(lpad(to_hex((extract(epoch FROM cutoff) * 1000)::bigint), 12, '0'), 32, '0')::uuid
            AND "timestamp" < cutoff AND (transaction_id, id) <= (base.base_transaction, base.base_id)
        ORDER BY id LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM audit_blocks WHERE chain = 'security_events' AND position IN (
        SELECT position FROM audit_blocks
        WHERE chain = 'security_events' AND position <= base.base_position AND newest < cutoff
        ORDER BY position LIMIT most);
    RETURN gone;
END $$;
