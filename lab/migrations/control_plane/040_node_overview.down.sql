DROP INDEX nodes_network_idx;
REVOKE SELECT ON node_health_state, incidents FROM hoodcloud_reader;
DROP VIEW node_overview;
