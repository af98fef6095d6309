CREATE TABLE hosts (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    region_id    smallint NOT NULL REFERENCES regions (id),
    external_id  text NOT NULL,
    hostname     text NOT NULL UNIQUE,
    ipv4         inet,
    ipv6         inet,
    cores        smallint NOT NULL CHECK (cores > 0),
    memory_mb    integer NOT NULL CHECK (memory_mb > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hosts_has_address CHECK (ipv4 IS NOT NULL OR ipv6 IS NOT NULL)
);

CREATE UNIQUE INDEX hosts_external_idx ON hosts (region_id, external_id);
ALTER TABLE nodes ADD COLUMN host_id uuid REFERENCES hosts (id);
CREATE INDEX nodes_host_idx ON nodes (host_id) WHERE host_id IS NOT NULL;
