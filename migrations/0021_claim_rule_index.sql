-- no-transaction
-- Finds the claim rules that may fit a token, however many rules its issuer has.
CREATE INDEX CONCURRENTLY IF NOT EXISTS oauth_clients_rule ON oauth_clients (issuer, claim_rule_key(rule)) WHERE rule IS NOT NULL;
