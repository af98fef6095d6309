DROP TABLE health_event_outbox;
