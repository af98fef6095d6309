CREATE TABLE refunds (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    payment_id  uuid NOT NULL REFERENCES payments (id),
    amount      bigint NOT NULL CHECK (amount > 0),
    reason      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION refund_fits() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT coalesce(sum(r.amount), 0) + NEW.amount FROM refunds r WHERE r.payment_id = NEW.payment_id)
       > (SELECT p.amount FROM payments p WHERE p.id = NEW.payment_id) THEN
        RAISE EXCEPTION 'more would be refunded than was paid';
    END IF;
    RETURN NEW;
END;
$$;

CREATE CONSTRAINT TRIGGER refunds_fit AFTER INSERT ON refunds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refund_fits();
