DROP FUNCTION newest_snapshot(integer);
DROP TABLE chain_snapshots;
