CREATE DOMAIN slug AS text
    CONSTRAINT slug_shape CHECK (VALUE ~ '^[a-z0-9]+(-[a-z0-9]+)*$');
CREATE DOMAIN cents AS bigint DEFAULT 0
    CONSTRAINT cents_not_negative CHECK (VALUE >= 0);
CREATE DOMAIN sha256_hex AS text
    CONSTRAINT sha256_hex_shape CHECK (VALUE ~ '^[0-9a-f]{64}$');
CREATE TYPE money_amount AS (amount bigint, currency char(3));
