CREATE TYPE command_state AS ENUM ('queued', 'sent', 'acknowledged', 'succeeded', 'failed', 'expired');

CREATE TABLE agent_commands (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id      uuid NOT NULL REFERENCES ops_agents (id) ON DELETE CASCADE,
    verb          text NOT NULL,
    arguments     jsonb NOT NULL DEFAULT '{}',
    state         command_state NOT NULL DEFAULT 'queued',
    attempts      smallint NOT NULL DEFAULT 0,
    queued_at     timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    expires_at    timestamptz NOT NULL DEFAULT now() + interval '1 hour',
    CONSTRAINT agent_commands_attempts CHECK (attempts BETWEEN 0 AND 20)
);

CREATE INDEX agent_commands_queue_idx ON agent_commands (agent_id, id) WHERE state IN ('queued', 'sent');
