DROP VIEW team_costs;
DROP TABLE node_costs;
