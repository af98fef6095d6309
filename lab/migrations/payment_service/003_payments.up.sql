CREATE TYPE payment_state AS ENUM ('created', 'authorized', 'completed', 'failed', 'canceled');

CREATE TABLE payments (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    customer_id  uuid NOT NULL REFERENCES customers (id),
    method_id    uuid REFERENCES payment_methods (id) ON DELETE SET NULL,
    amount       bigint NOT NULL CHECK (amount > 0),
    currency     char(3) NOT NULL DEFAULT 'EUR',
    state        payment_state NOT NULL DEFAULT 'created',
    external_id  text UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX payments_open_idx ON payments (created_at) WHERE state IN ('created', 'authorized');
