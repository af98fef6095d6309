ALTER TABLE payments DROP COLUMN fee;
DROP VIEW balances;
