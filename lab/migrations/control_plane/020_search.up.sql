CREATE INDEX nodes_name_trgm_idx ON nodes USING gin (name gin_trgm_ops);
CREATE INDEX users_name_trgm_idx ON users USING gin (display_name gin_trgm_ops);
CREATE INDEX teams_name_trgm_idx ON teams USING gin (name gin_trgm_ops);

CREATE VIEW search_index AS
    SELECT 'node' AS kind, n.id, n.name FROM nodes n WHERE n.deleted_at IS NULL
    UNION ALL
    SELECT 'team', t.id, t.name FROM teams t;
