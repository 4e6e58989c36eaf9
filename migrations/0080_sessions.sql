-- Sessions of people in the dashboard, and sign-ins that have begun.

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    -- SHA-256 of the cookie. The cookie itself is not stored.
    id_hash bytea NOT NULL UNIQUE CHECK (length(id_hash) = 32),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The principal that signed in. The session ends when the person is bound to another one.
    issuer text NOT NULL,
    subject text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Time of the last request, to the minute.
    seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ip text,
    user_agent text
);
CREATE INDEX sessions_live ON sessions (user_id, created_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_issuer ON sessions (issuer) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE sign_ins (
    -- SHA-256 of `state`, which is used once.
    state_hash bytea PRIMARY KEY CHECK (length(state_hash) = 32),
    -- SHA-256 of the cookie of the browser that began.
    browser_hash bytea NOT NULL CHECK (length(browser_hash) = 32),
    issuer text NOT NULL,
    redirect_uri text NOT NULL,
    nonce text NOT NULL,
    pkce_verifier text NOT NULL,
    return_to text NOT NULL CHECK (length(return_to) <= 2000),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sign_ins_expiry ON sign_ins (expires_at);
