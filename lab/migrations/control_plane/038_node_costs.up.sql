CREATE TABLE node_costs (
    node_id    uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    month      date NOT NULL,
    compute    cents NOT NULL,
    storage    cents NOT NULL,
    traffic    cents NOT NULL,
    total      bigint GENERATED ALWAYS AS (compute + storage + traffic) STORED,
    PRIMARY KEY (node_id, month),
    CONSTRAINT node_costs_month CHECK (extract(day FROM month) = 1)
);

CREATE VIEW team_costs WITH (security_barrier) AS
    SELECT n.team_id, c.month, sum(c.total) AS total, count(*) AS nodes
    FROM node_costs c JOIN nodes n ON n.id = c.node_id
    GROUP BY n.team_id, c.month;

COMMENT ON VIEW team_costs IS 'What a team''s nodes cost, by month, in cents.';
