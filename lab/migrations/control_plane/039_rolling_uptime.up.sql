CREATE TABLE node_state_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id     uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    level       health_level NOT NULL,
    entered_at  timestamptz NOT NULL,
    left_at     timestamptz,
    CONSTRAINT node_state_log_order CHECK (left_at IS NULL OR left_at > entered_at)
);

CREATE UNIQUE INDEX node_state_log_open_idx ON node_state_log (node_id) WHERE left_at IS NULL;
CREATE INDEX node_state_log_node_idx ON node_state_log (node_id, entered_at);

CREATE TABLE node_uptime_hourly (
    node_id      uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    hour         timestamptz NOT NULL,
    up_seconds   smallint NOT NULL,
    uptime       numeric(5, 4) GENERATED ALWAYS AS (up_seconds / 3600.0) STORED,
    PRIMARY KEY (node_id, hour),
    CONSTRAINT node_uptime_hourly_seconds CHECK (up_seconds BETWEEN 0 AND 3600)
);

CREATE FUNCTION rolling_uptime(of_node uuid, hours integer DEFAULT 720) RETURNS numeric
LANGUAGE plpgsql STABLE AS $$
DECLARE
    share numeric;
BEGIN
    SELECT avg(h.uptime) INTO share FROM node_uptime_hourly h
    WHERE h.node_id = of_node AND h.hour > now() - make_interval(hours => hours);
    RETURN coalesce(share, 0);
END;
$$;
