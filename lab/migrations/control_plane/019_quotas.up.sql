CREATE TABLE quotas (
    team_id     uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    resource    text NOT NULL,
    allowed     integer NOT NULL DEFAULT 0,
    used        integer NOT NULL DEFAULT 0,
    PRIMARY KEY (team_id, resource),
    CONSTRAINT quotas_used CHECK (used >= 0) NOT VALID
);

CREATE FUNCTION quota_left(of_team uuid, of_resource text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(max(q.allowed - q.used), 0) FROM quotas q WHERE q.team_id = of_team AND q.resource = of_resource;
END;
