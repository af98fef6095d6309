DROP TYPE money_amount;
DROP DOMAIN sha256_hex;
DROP DOMAIN cents;
DROP DOMAIN slug;
