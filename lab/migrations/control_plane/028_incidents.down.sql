DROP TABLE incidents;
DROP TYPE incident_status;
DROP TYPE incident_severity;
