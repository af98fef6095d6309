"""How scratch databases, templates and their locks are called, and the questions by which they are found."""

import re
import zlib

SCRATCH, TEMPLATE = "runbook_scratch_", "runbook_template_"
LOCK_SPACE = 0x52554E42  # "RUNB": the first of the two keys of our advisory locks

NAME = re.compile(SCRATCH + r"([a-z0-9]{1,8})_\d+_\d+")
"""Of a scratch database; the run is in it."""

OURS = """
SELECT datname::text FROM pg_database
WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'MEMBER') ORDER BY datname
"""
HELD = "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = %s"
"""In whatever database of the server the lock was taken."""
SESSION = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"
TEMPLATES = """
SELECT datname::text FROM pg_database
WHERE starts_with(datname, %s) ORDER BY shobj_description(oid, 'pg_database') DESC NULLS LAST
"""


def lock_key(run: str) -> int:
    """The second key of the lock of a run: a signed int4."""
    return zlib.crc32(f"{SCRATCH}{run}".encode()) - 2**31
