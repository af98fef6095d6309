CREATE TABLE customers (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    team_id      uuid NOT NULL UNIQUE,
    email        text NOT NULL,
    country      char(2) NOT NULL,
    vat_id       text,
    created_at   timestamptz NOT NULL DEFAULT now()
);
