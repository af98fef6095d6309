CREATE TABLE rate_limits (
    api_key_id   uuid PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE,
    per_minute   integer NOT NULL DEFAULT 60,
    burst        integer NOT NULL DEFAULT 10,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rate_limits_positive CHECK (per_minute > 0 AND burst >= 0)
);

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'limit_scope') THEN
        CREATE TYPE limit_scope AS ENUM ('key', 'user', 'team');
    END IF;
END
$$;

ALTER TABLE rate_limits ADD COLUMN scope limit_scope NOT NULL DEFAULT 'key';
