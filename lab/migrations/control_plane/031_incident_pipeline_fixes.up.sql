ALTER TABLE node_health_state ADD COLUMN is_flapping boolean NOT NULL DEFAULT false;
ALTER TABLE node_health_state ADD COLUMN changes_in_hour smallint NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN resolution_debounce interval NOT NULL DEFAULT '5 minutes';
ALTER TABLE incidents ADD COLUMN resolve_after timestamptz;
CREATE INDEX incidents_resolve_after_idx ON incidents (resolve_after) WHERE resolve_after IS NOT NULL;
ALTER TABLE notification_outbox DROP CONSTRAINT notification_outbox_channel;
ALTER TABLE notification_outbox ADD CONSTRAINT notification_outbox_channel
    CHECK (channel IN ('slack', 'telegram', 'email', 'webhook', 'log'));
