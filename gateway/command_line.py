"""`runbook`: the command line. Whatever a command needs is imported when it runs, so that `--help` is there at once."""

import importlib
import json
import os
import sys
from collections.abc import Sequence

from gateway.arguments import parser
from runbooks.errors import RunbookError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see `gateway.arguments.EXIT_CODES`)."""
    asked = parser().parse_args(arguments)
    module, _, function = asked.command.rpartition(".")
    importlib.import_module("gateway.logs").set_up()
    try:
        code = getattr(importlib.import_module(module), function)(asked)
        sys.stdout.flush()
    except RunbookError as error:
        complain(error, as_json=getattr(asked, "json", False))
        return error.exit_code
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stopped by you; `runbook status` says what is held", file=sys.stderr)
        return 130
    return int(code or 0)


def complain(error: RunbookError, *, as_json: bool) -> None:
    """Say an error on standard error: for people in three lines, for scripts as one JSON object."""
    if as_json:
        said = {"error": error.message, "next": error.hint, "reference": error.reference, "exit_code": error.exit_code}
        print(json.dumps(said, ensure_ascii=False), file=sys.stderr)
        return
    for exhibit in error.exhibits:
        print("\n".join(exhibit.lines()), end="\n\n", file=sys.stderr)
    print(f"runbook: {error.message}\n  next: {error.hint}\n  ref:  {error.reference}", file=sys.stderr)
