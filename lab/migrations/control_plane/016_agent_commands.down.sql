DROP TABLE agent_commands;
DROP TYPE command_state;
