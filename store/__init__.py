"""MEMORY: what must outlive a crash. The journal, one lock per target, approvals, the outbox, and the settings.

Knows neither Prefect nor any system that a runbook mends, so that it works when all of them are down.
"""
