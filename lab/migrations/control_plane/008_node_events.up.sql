CREATE TABLE node_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id     uuid NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    kind        text NOT NULL,
    payload     jsonb NOT NULL DEFAULT '{}',
    happened_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX node_events_node_idx ON node_events (node_id, happened_at DESC);
CREATE INDEX node_events_happened_brin ON node_events USING brin (happened_at);

-- Every change of state leaves an event; the body has semicolons on purpose.
CREATE FUNCTION log_node_state() RETURNS trigger
LANGUAGE plpgsql AS $fn$
BEGIN
    IF NEW.state IS DISTINCT FROM OLD.state THEN
        INSERT INTO node_events (node_id, kind, payload)
        VALUES (NEW.id, 'state', jsonb_build_object('from', OLD.state, 'to', NEW.state));
    END IF;
    RETURN NEW;
END;
$fn$;

CREATE TRIGGER nodes_log_state AFTER UPDATE OF state ON nodes
    FOR EACH ROW EXECUTE FUNCTION log_node_state();
