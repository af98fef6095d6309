CREATE TABLE node_configs (
    node_id      uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    revision     integer NOT NULL,
    body         jsonb NOT NULL,
    digest       sha256_hex NOT NULL,
    signature    bytea,
    author_id    uuid REFERENCES users (id) ON DELETE SET NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, revision),
    CONSTRAINT node_configs_revision CHECK (revision >= 1)
);

CREATE INDEX node_configs_author_idx ON node_configs (author_id);
CREATE STATISTICS node_configs_stats (dependencies) ON node_id, revision FROM node_configs;
