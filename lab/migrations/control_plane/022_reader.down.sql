ALTER DEFAULT PRIVILEGES IN SCHEMA audit REVOKE SELECT ON TABLES FROM hoodcloud_reader;
REVOKE EXECUTE ON FUNCTION quota_left(uuid, text) FROM hoodcloud_reader;
GRANT EXECUTE ON FUNCTION quota_left(uuid, text) TO PUBLIC;
REVOKE SELECT (id, team_id, number, issued_on) ON invoices FROM hoodcloud_reader;
REVOKE SELECT ON users, teams, nodes, node_events, regions, chains, chain_networks FROM hoodcloud_reader;
REVOKE USAGE ON SCHEMA public, audit FROM hoodcloud_reader;
