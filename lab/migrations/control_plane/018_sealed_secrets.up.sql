CREATE TABLE sealed_secrets (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    node_id      uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    name         text NOT NULL,
    ciphertext   bytea NOT NULL,
    key_id       text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    rotated_at   timestamptz,
    CONSTRAINT sealed_secrets_name UNIQUE (node_id, name)
);

ALTER TABLE sealed_secrets ALTER COLUMN ciphertext SET STORAGE EXTERNAL;
COMMENT ON COLUMN sealed_secrets.ciphertext IS 'A sealed box (X25519); only the agent can open it.';
