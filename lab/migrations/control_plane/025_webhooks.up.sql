CREATE TABLE webhooks (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    team_id      uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    url          text NOT NULL,
    secret_ref   text NOT NULL,
    events       text[] NOT NULL DEFAULT ARRAY['node.state'],
    enabled      boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhooks_url_https CHECK (url LIKE 'https://%')
);

CREATE TABLE webhook_deliveries (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id    uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event         text NOT NULL,
    status        smallint,
    attempted_at  timestamptz NOT NULL DEFAULT now(),
    took_ms       integer
);

CREATE INDEX webhook_deliveries_recent_idx ON webhook_deliveries (webhook_id, attempted_at DESC) INCLUDE (status);
