DROP MATERIALIZED VIEW usage_daily;
DROP TABLE usage_samples;
