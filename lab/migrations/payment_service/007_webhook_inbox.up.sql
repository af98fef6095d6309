CREATE TABLE webhook_inbox (
    id            text PRIMARY KEY,
    source        text NOT NULL,
    body          jsonb NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    handled_at    timestamptz
);

CREATE INDEX webhook_inbox_due_idx ON webhook_inbox (received_at) WHERE handled_at IS NULL;
