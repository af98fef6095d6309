-- Optimistic locking: whoever changes a node's state says which version was read.
ALTER TABLE nodes ADD COLUMN state_version bigint NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD CONSTRAINT nodes_state_version_not_negative CHECK (state_version >= 0);

CREATE FUNCTION bump_state_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IS DISTINCT FROM OLD.state AND NEW.state_version = OLD.state_version THEN
        NEW.state_version := OLD.state_version + 1;
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER nodes_bump_state_version BEFORE UPDATE OF state ON nodes
    FOR EACH ROW EXECUTE FUNCTION bump_state_version();
