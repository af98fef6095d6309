CREATE VIEW balances AS
    SELECT a.code, a.name, coalesce(sum(e.debit - e.credit), 0) AS balance
    FROM ledger_accounts a LEFT JOIN ledger_entries e ON e.account_id = a.id
    GROUP BY a.code, a.name;

ALTER TABLE payments ADD COLUMN fee bigint NOT NULL DEFAULT 0;
