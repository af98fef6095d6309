DROP TABLE payment_methods;
DROP TYPE method_kind;
