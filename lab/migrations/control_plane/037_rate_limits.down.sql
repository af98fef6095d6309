DROP TABLE rate_limits;
DROP TYPE limit_scope;
