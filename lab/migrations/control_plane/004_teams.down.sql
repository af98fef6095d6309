DROP TABLE team_members;
DROP TABLE teams;
DROP TYPE team_role;
