"""Who sits at this command line, as far as the machine knows it."""

import os
import pwd
from pathlib import Path

_NOBODY_LOGGED_IN = 2**32 - 1


def person() -> str:
    """The user who logged in, also behind `sudo` (the kernel's login uid, which nobody can change), else who runs this.

    The environment is not asked: `USER=alice runbook approve …` must not make an Alice.
    """
    try:
        uid = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        uid = _NOBODY_LOGGED_IN
    if uid == _NOBODY_LOGGED_IN:
        uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
