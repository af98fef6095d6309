CREATE TABLE idempotency_keys (
    key          text NOT NULL,
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    request      sha256_hex NOT NULL,
    response     jsonb,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
) PARTITION BY HASH (user_id);

CREATE UNLOGGED TABLE idempotency_keys_0 PARTITION OF idempotency_keys FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE UNLOGGED TABLE idempotency_keys_1 PARTITION OF idempotency_keys FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);
