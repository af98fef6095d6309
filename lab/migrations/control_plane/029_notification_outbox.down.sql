DROP TABLE notification_outbox;
DROP TYPE outbox_state;
