DROP TABLE node_health_state;
DROP TYPE health_level;
