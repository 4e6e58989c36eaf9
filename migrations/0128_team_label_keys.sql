-- Keys by which a request finds the teams that require one of its labels, without reading every team.

-- Returns one key for each label: the label in lower case if it is ASCII, as labels are compared there. Other labels have the
-- key '': only the service compares those.
CREATE FUNCTION label_keys(labels text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    keys text[] := '{}';
    label text;
BEGIN
    FOREACH label IN ARRAY coalesce(labels, '{}') LOOP
        keys := keys || CASE WHEN label COLLATE "C" ~ '^[ -~]+$' THEN lower(label COLLATE "C") ELSE '' END;
    END LOOP;
    RETURN keys;
END $$;

ALTER TABLE teams
    ADD COLUMN required_label_keys text[] NOT NULL GENERATED ALWAYS AS (label_keys(required_labels)) STORED;
