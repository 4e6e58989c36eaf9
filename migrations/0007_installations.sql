-- Several installations: whose secret signed a delivery, and what it says of where it comes from.
ALTER TABLE webhook_inbox
    -- Empty: taken before this was noted, by the only secret there was.
    ADD COLUMN signed_for text[] NOT NULL DEFAULT '{}',
    ADD COLUMN organization text,
    ADD COLUMN enterprise text;
