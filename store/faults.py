"""What a database or a file system answers when it will not do its work, in one line for people."""

import errno
import os
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from runbooks.errors import StoreUnusable

HINTS = {
    "store-read-only": "let this account write there (file and folder, or the role, on the primary), then run it again",
    "store-full": "free some space there (df -h, quota, ulimit -f), then run the same again: it looks first",
    "store-unreachable": "check that it is up and that RUNBOOK_STORE_URL names it; nothing is started without it",
    "store-busy": "run the same again in a minute; if it stays so, find the process that keeps it locked",
    "store-damaged": "keep it as it is and restore a copy, or let RUNBOOK_STORE_URL name a new one",
    "store-too-new": "use the newer version of this code that wrote it",
}

_SQLITE = {
    "SQLITE_READONLY": "store-read-only",
    "SQLITE_PERM": "store-read-only",
    "SQLITE_FULL": "store-full",
    "SQLITE_IOERR": "store-full",  # a quota or a broken disk also ends here; its own words are in the message
    "SQLITE_BUSY": "store-busy",
    "SQLITE_LOCKED": "store-busy",
    "SQLITE_CANTOPEN": "store-unreachable",
}

_SQLSTATE = {  # https://www.postgresql.org/docs/current/errcodes-appendix.html, longest prefix first
    "25006": "store-read-only",
    "42501": "store-read-only",
    "53100": "store-full",
    "53": "store-unreachable",
    "55P03": "store-busy",
    "57014": "store-busy",
    "25P03": "store-busy",
    "40": "store-busy",
    "08": "store-unreachable",
    "28": "store-unreachable",
    "3D": "store-unreachable",
    "57": "store-unreachable",
}

_ERRNO = {
    errno.EACCES: "store-read-only",
    errno.EPERM: "store-read-only",
    errno.EROFS: "store-read-only",
    errno.ENOSPC: "store-full",
    errno.EDQUOT: "store-full",
    errno.EFBIG: "store-full",
}


def unusable(reference: str, place: str, said: str) -> StoreUnusable:
    """The error that people read: `place` names the store without any secret, `said` is what it answered."""
    return StoreUnusable(reference, f"the store {place} cannot be used: {said}", hint=HINTS[reference])


def translated(error: Exception, place: str, file: Path | None, secrets: tuple[str, ...]) -> StoreUnusable:
    """The same trouble as a `StoreUnusable`; `secrets` are cut out of whatever the driver said."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = (str(origin).splitlines() or [type(origin).__name__])[0]
    for secret in secrets:
        said = said.replace(secret, "***")
    return unusable(_reference(origin, file), place, said)


def _reference(origin: BaseException, file: Path | None) -> str:
    if isinstance(origin, OSError):
        return _ERRNO.get(origin.errno or 0, "store-unreachable")
    if isinstance(origin, NoConnectionFree):
        return "store-busy"
    if name := getattr(origin, "sqlite_errorname", ""):
        found = _SQLITE.get("_".join(name.split("_")[:2]), "store-damaged")
        # in WAL mode even a reader must create two files beside it
        closed = found == "store-unreachable" and file and file.is_file() and not os.access(file.parent, os.W_OK)
        return "store-read-only" if closed else found
    if state := getattr(origin, "sqlstate", ""):
        return next((found for prefix, found in _SQLSTATE.items() if state.startswith(prefix)), "store-damaged")
    # without a code it is psycopg's own: it found no server, or lost it
    return "store-unreachable" if _names(origin) & {"OperationalError", "InterfaceError"} else "store-damaged"


def _names(error: BaseException) -> set[str]:
    return {
        kind.__name__ for kind in type(error).__mro__
    }  # by name, as importing psycopg costs what SQLite need not pay
