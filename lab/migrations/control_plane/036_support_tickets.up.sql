CREATE TABLE support_tickets (
    id          bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000 INCREMENT BY 1) PRIMARY KEY,
    team_id     uuid NOT NULL REFERENCES teams (id),
    incident_id uuid REFERENCES incidents (id) ON DELETE SET NULL,
    subject     text NOT NULL,
    body        text NOT NULL DEFAULT '',
    words       tsvector GENERATED ALWAYS AS (to_tsvector('simple', subject || ' ' || body)) STORED,
    priority    smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
    created_at  timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz
);

CREATE INDEX support_tickets_words_idx ON support_tickets USING gin (words);
CREATE INDEX support_tickets_team_idx ON support_tickets (team_id, created_at DESC);
