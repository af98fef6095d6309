CREATE TABLE volumes (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    node_id     uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    device      text NOT NULL,
    size_gb     integer NOT NULL,
    used_gb     integer NOT NULL DEFAULT 0,
    free_gb     integer GENERATED ALWAYS AS (size_gb - used_gb) STORED,
    used_share  numeric GENERATED ALWAYS AS (round(used_gb::numeric / size_gb, 4)) STORED,
    CONSTRAINT volumes_size CHECK (size_gb > 0),
    CONSTRAINT volumes_used CHECK (used_gb BETWEEN 0 AND size_gb),
    UNIQUE (node_id, device)
);

CREATE INDEX volumes_full_idx ON volumes (used_share) WHERE used_share > 0.8;
