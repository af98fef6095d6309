DROP TABLE nodes;
DROP TYPE node_state;
