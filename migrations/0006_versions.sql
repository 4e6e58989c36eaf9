-- Which runner software runs, and until when GitHub takes it.
ALTER TABLE runners
    -- As the caller stated it, and as GitHub told it once it was connected.
    ADD COLUMN stated_version text,
    ADD COLUMN version text;

CREATE TABLE runner_versions (
    installation               text NOT NULL REFERENCES installations,
    version                    text NOT NULL,
    registration_deprecates_at timestamptz,
    runtime_deprecates_at      timestamptz,
    checked_at                 timestamptz NOT NULL,
    -- The state that was told last.
    told                       text,
    PRIMARY KEY (installation, version)
);
