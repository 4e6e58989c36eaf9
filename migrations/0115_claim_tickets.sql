-- Claim tickets: promises of one runner each, redeemed by the machine that will be the runner.
CREATE TABLE claim_tickets (
    id               uuid PRIMARY KEY,
    -- SHA-256 of the ticket's text; the text itself is stored nowhere.
    secret_hash      bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    team_id          uuid NOT NULL REFERENCES teams,
    requester_user   uuid REFERENCES users,
    requester_client uuid REFERENCES oauth_clients,
    identity         text NOT NULL,
    -- Principal of the requester's token. The job of the runner is bound to it.
    issuer           text NOT NULL,
    subject          text NOT NULL,
    -- Properties of the promised runner.
    runner           jsonb NOT NULL,
    -- Addresses and identity that may redeem the ticket.
    holder           jsonb NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    redeemed_at      timestamptz,
    -- SHA-256 of the Idempotency-Key of the redemption.
    redeem_key       bytea,
    redeemed_from    text,
    redeemed_by      text,
    -- No foreign keys: jobs and runners are pruned by rules of their own.
    job_id           uuid,
    runner_id        uuid,
    CONSTRAINT claim_tickets_one_requester CHECK (num_nonnulls(requester_user, requester_client) = 1),
    CONSTRAINT claim_tickets_use_is_whole CHECK (num_nonnulls(redeemed_at, redeem_key, job_id, runner_id) IN (0, 4)),
    CONSTRAINT claim_tickets_one_end CHECK (redeemed_at IS NULL OR revoked_at IS NULL)
);

-- Redemption.
CREATE UNIQUE INDEX claim_tickets_secret ON claim_tickets (secret_hash);
-- Lists: all, a team's, a requester's.
CREATE INDEX claim_tickets_team ON claim_tickets (team_id, id DESC);
CREATE INDEX claim_tickets_user ON claim_tickets (requester_user, id DESC) WHERE requester_user IS NOT NULL;
CREATE INDEX claim_tickets_client ON claim_tickets (requester_client, id DESC) WHERE requester_client IS NOT NULL;
-- Bounds and revocations.
CREATE INDEX claim_tickets_open ON claim_tickets (team_id, expires_at) WHERE redeemed_at IS NULL AND revoked_at IS NULL;
-- Retention.
CREATE INDEX claim_tickets_end ON claim_tickets (expires_at);
