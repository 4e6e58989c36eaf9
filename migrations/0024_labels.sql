-- Labels: what every runner gets, and what GitHub has that the policy does not allow.

ALTER TABLE teams
    -- Every runner gets `self-hosted`, since GitHub adds nothing to a runner with a JIT config.
    ADD COLUMN add_self_hosted boolean NOT NULL DEFAULT true;

ALTER TABLE runners
    -- Labels on GitHub that the team's policy does not allow, as last seen; null: none.
    ADD COLUMN foreign_labels text[];
