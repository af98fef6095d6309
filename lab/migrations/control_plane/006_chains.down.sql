DROP TABLE chain_networks;
DROP TABLE chains;
