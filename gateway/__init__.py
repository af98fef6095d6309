"""DOORS: how people come in. The command line now; chats and alerts later. Never imports Prefect, which is slow."""
