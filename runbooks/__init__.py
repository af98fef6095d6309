"""THINKING: what each runbook knows and decides, as pure functions on plain data.

Standard library only: no clock, no environment, no network, no log. Beside every runbook's decisions
(`sealed_vault.py`) stands its page for people (`sealed_vault.md`); a test keeps the two in step.
"""
