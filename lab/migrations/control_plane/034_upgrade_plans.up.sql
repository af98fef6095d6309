CREATE TYPE upgrade_state AS ENUM ('planned', 'running', 'done', 'rolled_back');

CREATE TABLE client_releases (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id     smallint NOT NULL REFERENCES chains (id),
    client       text NOT NULL,
    version      text NOT NULL,
    mandatory_at timestamptz,
    UNIQUE (chain_id, client, version)
);

CREATE TABLE upgrade_plans (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    release_id    integer NOT NULL REFERENCES client_releases (id),
    node_id       uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    state         upgrade_state NOT NULL DEFAULT 'planned',
    scheduled_for timestamptz NOT NULL,
    workflow_id   text UNIQUE,
    CONSTRAINT upgrade_plans_once UNIQUE (release_id, node_id) DEFERRABLE INITIALLY IMMEDIATE
);

CREATE INDEX upgrade_plans_due_idx ON upgrade_plans (scheduled_for) WHERE state = 'planned';
