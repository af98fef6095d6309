DROP TRIGGER nodes_bump_state_version ON nodes;
DROP FUNCTION bump_state_version();
ALTER TABLE nodes DROP COLUMN state_version;
