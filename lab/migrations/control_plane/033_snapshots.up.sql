CREATE TABLE chain_snapshots (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    network_id    integer NOT NULL REFERENCES chain_networks (id),
    block_height  bigint NOT NULL,
    s3_key        text NOT NULL UNIQUE,
    size_bytes    bigint NOT NULL CHECK (size_bytes > 0),
    digest        sha256_hex NOT NULL,
    taken_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (network_id, block_height)
);

CREATE FUNCTION newest_snapshot(of_network integer) RETURNS chain_snapshots
LANGUAGE sql STABLE AS $$
    SELECT s.* FROM chain_snapshots s WHERE s.network_id = of_network ORDER BY s.block_height DESC LIMIT 1;
$$;
