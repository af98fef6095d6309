CREATE TYPE incident_severity AS ENUM ('info', 'warning', 'critical');
CREATE TYPE incident_status AS ENUM ('open', 'acknowledged', 'resolved');

CREATE TABLE incidents (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    node_id          uuid REFERENCES nodes (id) ON DELETE SET NULL,
    kind             text NOT NULL,
    severity         incident_severity NOT NULL DEFAULT 'warning',
    status           incident_status NOT NULL DEFAULT 'open',
    title            text NOT NULL,
    details          jsonb NOT NULL DEFAULT '{}',
    opened_at        timestamptz NOT NULL DEFAULT now(),
    acknowledged_at  timestamptz,
    resolved_at      timestamptz,
    CONSTRAINT incidents_resolved CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
);

-- One open incident of a kind per node.
CREATE UNIQUE INDEX incidents_dedup_idx ON incidents (node_id, kind) WHERE status <> 'resolved';
CREATE INDEX incidents_open_idx ON incidents (opened_at DESC) WHERE status = 'open';
