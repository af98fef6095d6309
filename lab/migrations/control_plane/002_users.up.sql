CREATE TYPE user_status AS ENUM ('invited', 'active', 'suspended', 'deleted');

CREATE TABLE users (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    clerk_id      text UNIQUE,
    email         citext NOT NULL,
    display_name  text NOT NULL DEFAULT '',
    status        user_status NOT NULL DEFAULT 'invited',
    last_seen_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_email_shape CHECK (position('@' in email) > 1)
);

CREATE UNIQUE INDEX users_email_idx ON users (email) WHERE status <> 'deleted';
CREATE INDEX users_last_seen_idx ON users (last_seen_at DESC NULLS LAST);

CREATE TRIGGER users_updated_at BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

COMMENT ON TABLE users IS 'People who can log in; Clerk owns their passwords.';
