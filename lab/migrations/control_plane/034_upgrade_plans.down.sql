DROP TABLE upgrade_plans;
DROP TABLE client_releases;
DROP TYPE upgrade_state;
