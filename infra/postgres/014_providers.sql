-- People who log in by an OpenID Connect provider have accounts without a password: known by issuer and subject there,
-- as names change. Nothing here takes long.
ALTER TABLE access_accounts
    ALTER COLUMN password DROP NOT NULL,
    ADD COLUMN issuer  text,
    ADD COLUMN subject text,
    ADD CHECK ((issuer IS NULL) = (subject IS NULL)),
    ADD CHECK (password IS NOT NULL OR issuer IS NOT NULL),
    ADD UNIQUE (issuer, subject);
