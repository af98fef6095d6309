CREATE TABLE ledger_accounts (
    id     smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code   text NOT NULL UNIQUE,
    name   text NOT NULL
);

CREATE TABLE ledger_entries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id   smallint NOT NULL REFERENCES ledger_accounts (id),
    payment_id   uuid REFERENCES payments (id),
    debit        bigint NOT NULL DEFAULT 0,
    credit       bigint NOT NULL DEFAULT 0,
    booked_on    date NOT NULL DEFAULT current_date,
    CONSTRAINT ledger_entries_one_side CHECK ((debit = 0) <> (credit = 0))
);

INSERT INTO ledger_accounts (code, name) VALUES ('1200', 'Bank'), ('8400', 'Revenue');
