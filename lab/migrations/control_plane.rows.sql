-- Rows for a control plane. A section is run when the database is at its version or above; {rows} is a number from 20.

-- from 002
INSERT INTO users (clerk_id, email, display_name, status, last_seen_at)
SELECT 'user_' || i, 'user' || i || '@hoodcloud.test', 'User ' || i,
       (ARRAY['active', 'active', 'invited', 'suspended'])[1 + i % 4]::user_status, now() - make_interval(hours => i)
FROM generate_series(1, {rows}) AS i;

-- from 004
INSERT INTO teams (name, slug, owner_id)
SELECT 'Team ' || row_number() OVER (ORDER BY email), 'team-' || row_number() OVER (ORDER BY email), id
FROM users ORDER BY email LIMIT {rows} / 10;
INSERT INTO team_members (team_id, user_id, role) SELECT id, owner_id, 'owner' FROM teams;

-- from 005
INSERT INTO regions (provider_id, code, city, country)
SELECT p.id, r.code, r.city, r.country
FROM providers p, (VALUES ('fsn1', 'Falkenstein', 'DE'), ('hel1', 'Helsinki', 'FI'), ('ash', 'Ashburn', 'US'))
    AS r (code, city, country);

-- from 006
INSERT INTO chains (slug, name) VALUES ('ethereum', 'Ethereum'), ('gnosis', 'Gnosis'), ('polygon', 'Polygon');
INSERT INTO chain_networks (chain_id, name, is_testnet, block_time_ms)
SELECT c.id, n.name, n.name <> 'mainnet', 12000 FROM chains c, (VALUES ('mainnet'), ('sepolia')) AS n (name);

-- from 007
INSERT INTO nodes (team_id, network_id, region_id, name, state, tier)
SELECT t.id, 1 + i % 6, 1 + i % 3, 'node-' || i, (ARRAY['running', 'syncing', 'stopped'])[1 + i % 3]::node_state,
       (ARRAY['standard', 'performance', 'archive'])[1 + i % 3]
FROM generate_series(1, {rows}) AS i
JOIN (SELECT id, row_number() OVER (ORDER BY slug) - 1 AS n FROM teams) AS t ON t.n = i % ({rows} / 10);

-- from 008
INSERT INTO node_events (node_id, kind, payload)
SELECT id, 'created', jsonb_build_object('tier', tier) FROM nodes;

-- from 009
INSERT INTO api_keys (user_id, name, key_hash, scopes)
SELECT id, 'default', '$2b$12$' || md5(email), ARRAY['read'] FROM users WHERE status = 'active';

-- from 011
INSERT INTO volumes (node_id, device, size_gb, used_gb)
SELECT id, '/dev/sdb', 1000, length(name) * 50 FROM nodes;

-- from 012
INSERT INTO plans (code, price) VALUES ('small', 4900), ('large', 19900);
INSERT INTO subscriptions (team_id, plan_id) SELECT id, 1 FROM teams;

-- from 013
INSERT INTO invoices (team_id, net, tax, issued_on) SELECT id, 4900, 931, '2026-01-01' FROM teams;

-- from 014
INSERT INTO audit.log (actor, action, target, logged_at)
SELECT 'seed', 'create', name, timestamptz '2025-06-01 00:00+00' + make_interval(hours => length(name)) FROM nodes;

-- from 019
INSERT INTO quotas (team_id, resource, allowed, used) SELECT id, 'nodes', 50, 10 FROM teams;

-- from 023
INSERT INTO usage_samples (node_id, sampled_at, cpu_percent, memory_mb, disk_gb)
SELECT id, now() - interval '1 hour', 12.5, 8192, 500 FROM nodes;

-- from 027
INSERT INTO node_health_state (node_id, level, block_height) SELECT id, 'healthy', 19000000 FROM nodes;

-- from 028
INSERT INTO incidents (node_id, kind, title, status, resolved_at)
SELECT id, 'lag', 'Node lags', 'resolved', now() FROM nodes WHERE state = 'syncing';

-- from 029
INSERT INTO notification_outbox (incident_id, channel, payload, state)
SELECT id, 'slack', '{}', 'sent' FROM incidents;

-- from 036
INSERT INTO support_tickets (team_id, subject) SELECT id, 'How do I resync?' FROM teams;

-- from 039
INSERT INTO node_uptime_hourly (node_id, hour, up_seconds) SELECT id, date_trunc('hour', now()), 3600 FROM nodes;
