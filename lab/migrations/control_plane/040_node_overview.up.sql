CREATE VIEW node_overview AS
    SELECT n.id, n.team_id, n.name, n.state, n.state_version, h.level, h.is_flapping,
           rolling_uptime(n.id, 24) AS uptime_day
    FROM nodes n LEFT JOIN node_health_state h ON h.node_id = n.id
    WHERE n.deleted_at IS NULL;

GRANT SELECT ON node_overview, node_health_state, incidents TO hoodcloud_reader;
CREATE INDEX nodes_network_idx ON nodes (network_id);
