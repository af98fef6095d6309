"""KEYS: the way into Vault with the run's own AppRole, whom to believe there, and keeping what was read out of logs.

    secret.py     the fields of one secret, from the first node of Vault that gives a decisive answer
    nodes.py      which nodes to ask, and whom to believe when some are down
    approle.py    a token from a server whose certificate was checked
    redaction.py  keeps secrets out of logs and reasons

Below the channels and the hands, which both need it. Knows no Prefect.
"""
