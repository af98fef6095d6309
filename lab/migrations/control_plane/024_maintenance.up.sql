CREATE TABLE maintenance_windows (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    region_id   smallint NOT NULL REFERENCES regions (id),
    during      tstzrange NOT NULL,
    reason      text NOT NULL,
    created_by  uuid REFERENCES users (id),
    CONSTRAINT maintenance_windows_apart EXCLUDE USING gist (region_id WITH =, during WITH &&),
    CONSTRAINT maintenance_windows_finite CHECK (NOT upper_inf(during))
);
