ALTER TABLE sealed_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY sealed_secrets_of_team ON sealed_secrets
    USING (node_id IN (SELECT n.id FROM nodes n WHERE n.team_id::text = current_setting('hoodcloud.team', true)));
CREATE POLICY api_keys_of_user ON api_keys FOR SELECT
    USING (user_id::text = current_setting('hoodcloud.user', true));
CREATE POLICY api_keys_no_admin ON api_keys AS RESTRICTIVE FOR INSERT
    WITH CHECK (NOT scopes @> ARRAY['admin']);
