CREATE TABLE usage_samples (
    node_id      uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    sampled_at   timestamptz NOT NULL,
    cpu_percent  real NOT NULL,
    memory_mb    integer NOT NULL,
    disk_gb      integer NOT NULL,
    peers        integer,
    PRIMARY KEY (node_id, sampled_at)
);

CREATE MATERIALIZED VIEW usage_daily AS
    SELECT node_id, date_trunc('day', sampled_at) AS day, avg(cpu_percent) AS cpu_percent, max(memory_mb) AS memory_mb
    FROM usage_samples
    GROUP BY 1, 2
    WITH NO DATA;

CREATE UNIQUE INDEX usage_daily_key ON usage_daily (node_id, day);
REFRESH MATERIALIZED VIEW usage_daily;
