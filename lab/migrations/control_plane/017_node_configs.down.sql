DROP TABLE node_configs;
