DROP TRIGGER nodes_log_state ON nodes;
DROP FUNCTION log_node_state();
DROP TABLE node_events;
