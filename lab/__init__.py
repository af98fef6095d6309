"""PRACTICE: real servers on loopback, to break and to mend; fakes only for what cannot run here.

Every server is a `lab.server.Server`: `start`, `stop`, `kill`, a log, a pid, an address, and free ports. To add one,
say how it is started and how one sees that it answers; `lab/postgres.py` shows it. Everything it writes is below the
folder that the caller gives, and nothing of it outlives the caller, not even after `kill -9`.
"""
