ALTER TABLE notification_outbox DROP CONSTRAINT notification_outbox_channel;
ALTER TABLE notification_outbox ADD CONSTRAINT notification_outbox_channel
    CHECK (channel IN ('slack', 'telegram', 'email', 'webhook'));
DROP INDEX incidents_resolve_after_idx;
ALTER TABLE incidents DROP COLUMN resolve_after;
ALTER TABLE incidents DROP COLUMN resolution_debounce;
ALTER TABLE node_health_state DROP COLUMN changes_in_hour;
ALTER TABLE node_health_state DROP COLUMN is_flapping;
