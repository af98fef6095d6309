DROP TABLE refunds;
DROP FUNCTION refund_fits();
