CREATE TYPE plan_interval AS ENUM ('month', 'year');

CREATE TABLE plans (
    id          smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code        slug NOT NULL UNIQUE,
    price       cents NOT NULL,
    currency    char(3) NOT NULL DEFAULT 'EUR',
    "interval"  plan_interval NOT NULL DEFAULT 'month'
);

CREATE TABLE subscriptions (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    team_id       uuid NOT NULL REFERENCES teams (id),
    plan_id       smallint NOT NULL REFERENCES plans (id),
    quantity      integer NOT NULL DEFAULT 1 CHECK (quantity > 0),
    started_at    timestamptz NOT NULL DEFAULT now(),
    canceled_at   timestamptz,
    CONSTRAINT subscriptions_order CHECK (canceled_at IS NULL OR canceled_at >= started_at)
);

CREATE INDEX subscriptions_active_idx ON subscriptions (team_id) WHERE canceled_at IS NULL;
