CREATE TYPE outbox_state AS ENUM ('pending', 'sent', 'dead');

CREATE TABLE notification_outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id     uuid NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    channel         text NOT NULL,
    payload         jsonb NOT NULL,
    state           outbox_state NOT NULL DEFAULT 'pending',
    attempts        smallint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notification_outbox_channel CHECK (channel IN ('slack', 'telegram', 'email', 'webhook'))
);

-- Drained with FOR UPDATE SKIP LOCKED.
CREATE INDEX notification_outbox_due_idx ON notification_outbox (next_attempt_at) WHERE state = 'pending';
CREATE INDEX notification_outbox_incident_idx ON notification_outbox (incident_id);
