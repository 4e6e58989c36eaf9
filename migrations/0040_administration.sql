-- Columns of the administration, and the function that folds labels for the search index.

ALTER TABLE audit_log
    -- Subject of the token of the caller; null for the service itself and in rows of earlier releases.
    ADD COLUMN oidc_sub text;

ALTER TABLE oauth_clients
    -- Identity of the admin who added the client; null in rows of earlier releases.
    ADD COLUMN created_by text;

-- Labels compare without case, so the search finds `GPU-large` by `gpu-large`.
CREATE FUNCTION folded_labels(labels text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(lower(label)), '{}') FROM unnest(labels) AS label
$$;
