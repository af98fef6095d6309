"""Which code this is: the released version and a digest of the files that decide and act."""

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path

_ACTS = ("runbooks", "store", "keys", "channels", "tasks", "flows")


@cache
def code() -> str:
    """Such as `0.1.0+1f2e3d4c`: another checkout with the same number and other code has another name."""
    root = Path(__file__).resolve().parent.parent
    files = sorted(file for folder in _ACTS for file in (root / folder).rglob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
    return f"{importlib.metadata.version('hoodcloud-runbooks')}+{digest}"
