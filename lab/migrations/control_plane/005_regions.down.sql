DROP TABLE regions;
DROP TABLE providers;
