-- App pools: several Apps serve one organization. Rows go on naming the pool by `installation`; these columns name the
-- installation whose App made a runner or a call. NULL: not made yet, or made by an earlier version.

ALTER TABLE runners
    ADD COLUMN app_installation text;

ALTER TABLE github_calls
    ADD COLUMN app_installation text;

ALTER TABLE installations
    -- The pool whose further App it is; NULL: alone, or the first of its pool. Only those have sync runs and teams.
    ADD COLUMN pool text;
