CREATE TYPE method_kind AS ENUM ('card', 'sepa', 'crypto');

CREATE TABLE payment_methods (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    customer_id  uuid NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    kind         method_kind NOT NULL,
    token        text NOT NULL UNIQUE,
    is_default   boolean NOT NULL DEFAULT false,
    expires_on   date
);

CREATE UNIQUE INDEX payment_methods_default_idx ON payment_methods (customer_id) WHERE is_default;
