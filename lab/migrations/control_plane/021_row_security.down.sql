DROP POLICY api_keys_no_admin ON api_keys;
DROP POLICY api_keys_of_user ON api_keys;
DROP POLICY sealed_secrets_of_team ON sealed_secrets;
ALTER TABLE api_keys DISABLE ROW LEVEL SECURITY;
ALTER TABLE sealed_secrets DISABLE ROW LEVEL SECURITY;
