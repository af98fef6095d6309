"""ORDER: how a runbook runs. One file, one function for each; read it top to bottom, then its page and its thinking."""
