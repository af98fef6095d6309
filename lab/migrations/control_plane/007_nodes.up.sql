CREATE TYPE node_state AS ENUM (
    'requested', 'provisioning', 'syncing', 'running', 'degraded', 'stopping', 'stopped', 'failed'
);

CREATE TABLE nodes (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    team_id      uuid NOT NULL REFERENCES teams (id),
    network_id   integer NOT NULL REFERENCES chain_networks (id),
    region_id    smallint NOT NULL REFERENCES regions (id),
    name         text NOT NULL,
    state        node_state NOT NULL DEFAULT 'requested',
    tier         text NOT NULL DEFAULT 'standard',
    labels       jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz,
    CONSTRAINT nodes_tier_known CHECK (tier IN ('standard', 'performance', 'archive'))
);

CREATE UNIQUE INDEX nodes_team_name_idx ON nodes (team_id, name) WHERE deleted_at IS NULL;
CREATE INDEX nodes_state_idx ON nodes (state);
CREATE INDEX nodes_labels_idx ON nodes USING gin (labels jsonb_path_ops);
CREATE TRIGGER nodes_updated_at BEFORE UPDATE ON nodes
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
