-- Rows for a payment service. A section is run when the database is at its version or above; {rows} is a number from 20.

-- from 001
INSERT INTO customers (team_id, email, country)
SELECT gen_random_uuid(), 'customer' || i || '@hoodcloud.test', 'DE' FROM generate_series(1, {rows}) AS i;

-- from 002
INSERT INTO payment_methods (customer_id, kind, token, is_default) SELECT id, 'card', 'tok_' || id, true FROM customers;

-- from 003
INSERT INTO payments (customer_id, method_id, amount, state)
SELECT c.id, m.id, 4900, 'completed' FROM customers c JOIN payment_methods m ON m.customer_id = c.id;

-- from 004
INSERT INTO payment_events (payment_id, subject, payload, published_at)
SELECT id, 'payment.completed', '{}', now() FROM payments;
