"""HoodCloud's `./migrate`: reads its settings from the environment, else from `.env` in the current folder.

python -m lab.migrate [up [N] | down [N] | force V | version]
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.migrate_settings import settings_from
from lab.migrating import Migrate, MigrateFailed, NoChange
from runbooks.errors import BadRequest

USAGE = "Usage: python -m lab.migrate [up [N] | down [N] | force V | version]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when it went well or nothing was to do, else 1."""
    command, *rest = arguments if arguments is not None else sys.argv[1:] or ["up"]
    try:
        number = int(rest[0]) if rest else -1
        if command not in ("up", "down", "force", "version") or len(rest) > 1 or (command == "force" and not rest):
            raise ValueError(command)
    except ValueError:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        with Migrate(settings_from(os.environ, Path(".env")), _say) as migrate:
            if command == "version":
                version, dirty = migrate.version()
                if version < 0:  # also where that is dirty: golang-migrate's command line hides it
                    raise MigrateFailed("no migration")
                _say(f"{version} (dirty)" if dirty else str(version))
                return 0
            if command == "up":
                migrate.up(number)
            elif command == "down":
                migrate.down(number)
            else:
                migrate.force(number)
    except NoChange as nothing:
        _say(str(nothing))
    except (MigrateFailed, BadRequest) as error:
        _say(f"error: {error}")
        return 1
    return 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
