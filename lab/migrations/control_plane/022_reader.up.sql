GRANT USAGE ON SCHEMA public, audit TO hoodcloud_reader;
GRANT SELECT ON users, teams, nodes, node_events, regions, chains, chain_networks TO hoodcloud_reader;
GRANT SELECT (id, team_id, number, issued_on) ON invoices TO hoodcloud_reader;
REVOKE EXECUTE ON FUNCTION quota_left(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quota_left(uuid, text) TO hoodcloud_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA audit GRANT SELECT ON TABLES TO hoodcloud_reader;
