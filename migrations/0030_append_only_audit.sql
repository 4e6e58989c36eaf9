-- The role that runs the service appends to the audit log and the security events and removes nothing from them itself:
-- two functions of the owner remove rows that are old enough.

CREATE TABLE audit_retention (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    -- The least age at which a row may be removed; null: never. `rts init-db` writes it, the service only reads it.
    least_age interval
);
INSERT INTO audit_retention (least_age) VALUES ('7 days');

-- The functions see this schema alone, whatever the search path of the role that calls them.
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

CREATE FUNCTION prune_audit_log(keep interval, most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    cutoff timestamptz;
    gone bigint;
BEGIN
    SELECT now() - greatest(keep, least_age) INTO cutoff FROM audit_retention WHERE least_age IS NOT NULL;
    -- Ids begin with their time, so the primary key finds old rows.
    DELETE FROM audit_log WHERE id IN (
        SELECT id FROM audit_log
        WHERE id < rpad(lpad(to_hex((extract(epoch FROM cutoff) * 1000)::bigint), 12, '0'), 32, '0')::uuid
            AND "timestamp" < cutoff
        ORDER BY id LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

CREATE FUNCTION prune_security_events(keep interval, most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    cutoff timestamptz;
    gone bigint;
BEGIN
    SELECT now() - greatest(keep, least_age) INTO cutoff FROM audit_retention WHERE least_age IS NOT NULL;
    DELETE FROM security_events WHERE id IN (
        SELECT id FROM security_events
        WHERE id < rpad(lpad(to_hex((extract(epoch FROM cutoff) * 1000)::bigint), 12, '0'), 32, '0')::uuid
            AND "timestamp" < cutoff
        ORDER BY id LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

REVOKE EXECUTE ON FUNCTION prune_audit_log(interval, bigint), prune_security_events(interval, bigint) FROM PUBLIC;
