CREATE TABLE audit.log (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    actor       text NOT NULL,
    action      text NOT NULL,
    target      text NOT NULL,
    details     jsonb NOT NULL DEFAULT '{}',
    logged_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, logged_at)
) PARTITION BY RANGE (logged_at);

CREATE TABLE audit.log_2025 PARTITION OF audit.log
    FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2026-01-01 00:00+00');
CREATE TABLE audit.log_2026 PARTITION OF audit.log
    FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');
CREATE TABLE audit.log_rest PARTITION OF audit.log DEFAULT;

CREATE INDEX log_actor_idx ON audit.log (actor, logged_at DESC);

CREATE RULE log_is_append_only AS ON DELETE TO audit.log DO INSTEAD NOTHING;
COMMENT ON TABLE audit.log IS 'Append-only; partitions of a year.';
