DROP FUNCTION rolling_uptime(uuid, integer);
DROP TABLE node_uptime_hourly;
DROP TABLE node_state_log;
