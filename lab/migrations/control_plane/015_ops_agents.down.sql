DROP TABLE ops_agents;
