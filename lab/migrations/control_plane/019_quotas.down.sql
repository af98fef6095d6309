DROP FUNCTION quota_left(uuid, text);
DROP TABLE quotas;
