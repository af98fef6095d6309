DROP FUNCTION set_updated_at();
DROP SCHEMA audit;
DROP EXTENSION citext;
DROP EXTENSION btree_gist;
DROP EXTENSION pg_trgm;
