"""What reaches beyond its database, or its server, and must not be run there to see what it does."""

import pytest

from tasks.migrations.parse_reach import reaches_out

# A file, and the first words of it that reach beyond its database; none if it stays inside.
BEYOND = {
    "ALTER ROLE app PASSWORD 'x'": "ALTER ROLE",
    "create /* now */ user app": "create user",
    "GRANT CONNECT ON DATABASE hoodcloud TO app": "GRANT CONNECT ON DATABASE",
    "GRANT readers TO app": "GRANT readers TO",
    "REVOKE readers, writers FROM app": "REVOKE readers , writers FROM",
    "DO $$ BEGIN EXECUTE 'ALTER DATABASE x SET y = 1'; END $$": "ALTER DATABASE",
    "REASSIGN OWNED BY a TO b": "REASSIGN OWNED",
    "ALTER SYSTEM SET work_mem = '1GB'": "ALTER SYSTEM",
    "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p": "CREATE SUBSCRIPTION",
    "SELECT pg_terminate_backend(1)": "pg_terminate_backend",
    "COPY t FROM PROGRAM 'ls'": "COPY t FROM PROGRAM",
    "GRANT SELECT ON t TO app; GRANT USAGE ON SCHEMA s TO app": "",
    "GRANT SELECT ON ALL TABLES IN SCHEMA app TO reader; REVOKE ALL ON t FROM app": "",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO reader": "",
    "CREATE USER MAPPING FOR app SERVER s": "",
    "INSERT INTO rights VALUES ('Grant access to users; alter role')": "",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER ROLE app NOLOGIN'": "ALTER ROLE",
    "-- ALTER ROLE app\nCREATE TABLE role (system text, database text)": "",
    "CREATE TABLE users (role text); ALTER TABLE users OWNER TO app; SET ROLE app": "",
    # a body is one wherever it stands
    "DO LANGUAGE plpgsql 'BEGIN CREATE ROLE evil; END'": "CREATE ROLE",
    "DO 'BEGIN CREATE ROLE evil; END' LANGUAGE plpgsql": "CREATE ROLE",
    "CREATE FUNCTION f() RETURNS void AS 'BEGIN DROP ROLE evil; END' LANGUAGE plpgsql": "DROP ROLE",
    "CREATE PROCEDURE f() LANGUAGE sql BEGIN ATOMIC SELECT pg_switch_wal(); END": "pg_switch_wal",
    "DO $$ BEGIN CREATE /* -- */ ROLE evil; END $$": "CREATE ROLE",
    "DO LANGUAGE plpython3u 'plpy.execute(x)'": "LANGUAGE plpython3u",
    "LOAD '$libdir/evil'": "LANGUAGE C",
    f"SELECT {'||'.join(['a'] * 90)}; DO LANGUAGE plpgsql 'BEGIN CREATE ROLE evil; END'": "CREATE ROLE",
    # what is executed is written there whole, or may be anything
    "DO $$ BEGIN EXECUTE 'CREATE '||'ROLE evil'; END $$": "CREATE ROLE",
    "DO $$ BEGIN EXECUTE format('CREATE %s evil', 'ROLE'); END $$": "CREATE ROLE",
    "DO $$ BEGIN EXECUTE format('%2$s %1$s evil', 'ROLE', 'CREATE'); END $$": "CREATE ROLE",
    "DO $$ BEGIN EXECUTE $q$ DO 'BEGIN EXECUTE ''CREATE ''||''ROLE evil''; END' $q$; END $$": "CREATE ROLE",
    "DO $$ BEGIN EXECUTE E'CRE\\x41TE ROLE evil'; END $$": "EXECUTE of a text",
    "DO $$ BEGIN EXECUTE command; END $$": "EXECUTE of a text",
    "DO $$ BEGIN EXECUTE 'CREATE ' || what || ' evil'; END $$": "EXECUTE of a text",
    "DO $$ BEGIN EXECUTE format('CREATE %s evil', what); END $$": "EXECUTE of a text",
    "DO $$ BEGIN EXECUTE format(template, 'a'); END $$": "EXECUTE of a text",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE a; END $$": "EXECUTE of a text",
    "DO $$ BEGIN EXECUTE 'ALTER TABLE t ADD x int'; END $$": "",
    "DO $$ BEGIN EXECUTE format('ALTER TABLE %I ADD x int DEFAULT %L', name, 1) USING a; END $$": "",
    "DO $$ BEGIN EXECUTE format('DROP TABLE %s', r.oid::regclass); END $$": "",
    "DO $$ BEGIN EXECUTE 'ALTER TABLE ' || quote_ident(r.name) || ' ADD x int' INTO y; END $$": "",
    "DO $$ BEGIN FOR r IN EXECUTE 'SELECT 1' LOOP RAISE NOTICE 'will execute %', r; END LOOP; END $$": "",
    "DO $$ BEGIN FOR i IN 1..2 LOOP EXECUTE format('CREATE TABLE t%s ()', i); END LOOP; END $$": "",
    "DO $$ DECLARE i text; BEGIN FOR i IN 1..2 LOOP NULL; END LOOP; EXECUTE 'a ' || i; END $$": "EXECUTE of a text",
    "DO $$ BEGIN CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); END $$": "",
    "DO $$ BEGIN GRANT EXECUTE ON FUNCTION f() TO app; END $$": "",
    # the whole server
    "SELECT pg_create_physical_replication_slot('s', true)": "pg_create_physical_replication_slot",
    "SELECT pg_catalog . pg_drop_replication_slot('s')": "pg_drop_replication_slot",
    "SELECT pg_logical_emit_message(true, 'a', 'b')": "pg_logical_emit_message",
    "SELECT pg_stat_statements_reset()": "pg_stat_statements_reset",
    "SELECT pg_notify('a', 'b'); SELECT pg_advisory_lock(1)": "",
    "INSERT INTO t VALUES ('pg_switch_wal()')": "",
}  # fmt: skip

# The same of what a server with nobody else's databases does not keep inside either.
LEAVES = {
    "COPY t TO '/tmp/x'": "COPY t TO '",
    "COPY (SELECT a FROM t) TO '/tmp/x'": "COPY ( SELECT a FROM t ) TO '",
    "COPY t FROM PROGRAM 'ls'": "COPY t FROM PROGRAM",
    "DO $$ BEGIN EXECUTE 'COPY t TO ''/tmp/x'''; END $$": "COPY t TO '",
    "CREATE FOREIGN TABLE r (a int) SERVER s": "CREATE FOREIGN TABLE",
    "IMPORT FOREIGN SCHEMA public FROM SERVER s INTO app": "IMPORT FOREIGN SCHEMA",
    "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p": "CREATE SUBSCRIPTION",
    "SELECT dblink_exec('host=other', 'DELETE FROM t')": "dblink_exec",
    "SELECT lo_import('/etc/passwd')": "lo_import",
    "SELECT pg_read_binary_file('x'), pg_ls_dir('.')": "pg_read_binary_file",
    "SELECT net.http_post('https://example.com')": "net . http_post",
    "CREATE TABLESPACE s LOCATION '/x'": "CREATE TABLESPACE",
    "DO LANGUAGE plperlu 'system(1)'": "LANGUAGE plperlu",
    "CREATE ROLE app; GRANT a TO b; CREATE DATABASE d": "",
    "DO $$ BEGIN EXECUTE command; END $$": "",
    "SELECT pg_create_physical_replication_slot('s', true)": "",
    "CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE TABLE copies (a text DEFAULT 'x')": "",
    "COPY t TO STDOUT": "",
}


@pytest.mark.parametrize("text", BEYOND)
def test_what_reaches_beyond_the_database_is_seen(text: str) -> None:
    found = reaches_out(text)
    assert found.startswith(BEYOND[text]) and bool(found) == bool(BEYOND[text])


@pytest.mark.parametrize("text", LEAVES)
def test_what_leaves_the_server_is_seen(text: str) -> None:
    found = reaches_out(text, alone=True)
    assert found.startswith(LEAVES[text]) and bool(found) == bool(LEAVES[text])
    assert reaches_out(text) or not found, "what leaves the server reaches beyond the database"
