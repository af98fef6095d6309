"""Which processes belong to a folder of the lab; to show that none is left."""

import os
from pathlib import Path


def processes_of(folder: Path) -> dict[int, str]:
    """The command of every living process that works in `folder` or was given a variable that names it, by pid."""
    found, place = {}, str(folder.resolve())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            named = os.fsencode(place) + b"/" in (entry / "environ").read_bytes()
            mine = named or (entry / "cwd").readlink().is_relative_to(place)
            alive = b") Z " not in (entry / "stat").read_bytes()
            if mine and alive:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found
