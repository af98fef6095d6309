-- payment.completed, payment.failed and payment.canceled, on their way to NATS.
CREATE TABLE payment_events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id    uuid NOT NULL REFERENCES payments (id),
    subject       text NOT NULL,
    payload       jsonb NOT NULL,
    published_at  timestamptz,
    CONSTRAINT payment_events_subject CHECK (subject IN ('payment.completed', 'payment.failed', 'payment.canceled'))
);

CREATE INDEX payment_events_due_idx ON payment_events (id) WHERE published_at IS NULL;
