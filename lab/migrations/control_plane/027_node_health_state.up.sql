CREATE TYPE health_level AS ENUM ('unknown', 'healthy', 'warning', 'critical');

CREATE TABLE node_health_state (
    node_id        uuid PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
    level          health_level NOT NULL DEFAULT 'unknown',
    since          timestamptz NOT NULL DEFAULT now(),
    block_height   bigint,
    peers          integer,
    lag_blocks     bigint NOT NULL DEFAULT 0,
    evaluated_at   timestamptz NOT NULL DEFAULT now(),
    details        jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT node_health_state_lag CHECK (lag_blocks >= 0)
);

CREATE INDEX node_health_state_level_idx ON node_health_state (level, since) WHERE level <> 'healthy';
ALTER TABLE node_health_state SET (fillfactor = 70);
