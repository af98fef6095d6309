CREATE SEQUENCE invoice_number_seq AS bigint START WITH 100000;

CREATE TABLE invoices (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number      bigint NOT NULL DEFAULT nextval('invoice_number_seq') UNIQUE,
    team_id     uuid NOT NULL REFERENCES teams (id),
    net         cents NOT NULL,
    tax         cents NOT NULL,
    gross       bigint GENERATED ALWAYS AS (net + tax) STORED,
    currency    char(3) NOT NULL DEFAULT 'EUR',
    issued_on   date NOT NULL DEFAULT current_date,
    paid_at     timestamptz
);

CREATE TABLE invoice_lines (
    invoice_id  uuid NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    position    smallint NOT NULL,
    text        text NOT NULL,
    amount      cents NOT NULL,
    PRIMARY KEY (invoice_id, position)
);

ALTER SEQUENCE invoice_number_seq OWNED BY invoices.number;
CREATE INDEX invoices_open_idx ON invoices (team_id, issued_on) WHERE paid_at IS NULL;
