CREATE TABLE alert_rules (
    id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network_id     integer REFERENCES chain_networks (id) ON DELETE CASCADE,
    metric         text NOT NULL,
    comparison     text NOT NULL DEFAULT '>',
    threshold      double precision NOT NULL,
    for_seconds    integer NOT NULL DEFAULT 60,
    severity       incident_severity NOT NULL DEFAULT 'warning',
    enabled        boolean NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alert_rules_comparison CHECK (comparison IN ('>', '>=', '<', '<=', '=')),
    CONSTRAINT alert_rules_for CHECK (for_seconds >= 0),
    UNIQUE NULLS NOT DISTINCT (network_id, metric, severity)
);

CREATE TRIGGER alert_rules_updated_at BEFORE UPDATE ON alert_rules
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
