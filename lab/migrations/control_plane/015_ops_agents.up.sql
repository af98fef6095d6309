CREATE TABLE ops_agents (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    node_id         uuid NOT NULL UNIQUE REFERENCES nodes (id) ON DELETE CASCADE,
    nkey            text NOT NULL UNIQUE,
    version         text NOT NULL,
    heartbeat_at    timestamptz,
    capabilities    text[] NOT NULL DEFAULT '{}',
    registered_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ops_agents_nkey_shape CHECK (nkey ~ '^U[A-Z2-7]{55}$')
);

CREATE INDEX ops_agents_silent_idx ON ops_agents (heartbeat_at NULLS FIRST);
