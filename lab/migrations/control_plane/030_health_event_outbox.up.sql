CREATE TABLE health_event_outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id       uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    from_level    health_level NOT NULL,
    to_level      health_level NOT NULL,
    subject       text NOT NULL DEFAULT 'health.changed',
    published_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT health_event_outbox_changes CHECK (from_level <> to_level)
);

CREATE INDEX health_event_outbox_due_idx ON health_event_outbox (id) WHERE published_at IS NULL;
