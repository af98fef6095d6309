CREATE TABLE providers (
    id         smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    api_url    text NOT NULL,
    enabled    boolean NOT NULL DEFAULT true
);

CREATE TABLE regions (
    id           smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_id  smallint NOT NULL REFERENCES providers (id),
    code         slug NOT NULL,
    city         text NOT NULL,
    country      char(2) NOT NULL,
    CONSTRAINT regions_provider_code_key UNIQUE (provider_id, code),
    CONSTRAINT regions_country_shape CHECK (country = upper(country))
);

INSERT INTO providers (name, api_url) VALUES ('hetzner', 'https://api.hetzner.cloud/v1');
