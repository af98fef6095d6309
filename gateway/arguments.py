"""The words of the command line: one table, so that the whole of it is read at a glance."""

import argparse
from typing import Any

EXIT_CODES = """\
exit codes:
  0  done, or nothing to do            5  another run holds the target
  1  a mistake in this program         6  a system did not answer; asking again is safe
  2  the request makes no sense        7  a step failed, or the result is not as promised
  3  refused by what was found         8  the store cannot be used; nothing was started
  4  not approved, or the plan drifted

With 2, 3, 4 and 5 nothing was changed; with 8 neither, unless the store was lost in the middle, which was told then.
"""

Argument = tuple[str, dict[str, Any]]

NAME: Argument = ("name", {"metavar": "NAME", "help": "the runbook; `runbook list` names them"})
DIGEST: Argument = ("digest", {"metavar": "DIGEST", "help": "the 12 digits of the plan that you read"})
PARAM: Argument = (
    "--param",
    {
        "action": "append",
        "default": [],
        "metavar": "K=V",
        "help": "a parameter of the runbook; `runbook show NAME` lists them",
    },
)
REASON: Argument = (
    "--reason",
    {"default": "", "metavar": "TEXT", "help": "why; it goes into the record and the messages"},
)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= MOST_SECONDS:
        raise ValueError(text)
    return value


MOST_SECONDS = 86_400

COMMANDS: dict[str, tuple[str, str, tuple[Argument, ...]]] = {
    "list": ("name every runbook", "gateway.reading.list_runbooks", ()),
    "show": ("what a runbook does, its parameters, its policy and its page", "gateway.reading.show_runbook", (NAME,)),
    "status": ("what is held, what waits for approval, what was not delivered", "gateway.memory.status", ()),
    "plan": ("look and plan, here and now; nothing is changed", "gateway.running.plan", (NAME, PARAM, REASON)),
    "run": (
        "look, plan, and carry out what the policy lets pass without asking; for pipelines",
        "gateway.running.run",
        (NAME, PARAM, REASON),
    ),
    "approve": (
        "agree to a plan and, once enough people have, start its run",
        "gateway.approving.approve",
        (DIGEST, REASON, ("--no-start", {"action": "store_true", "help": "only vote; somebody else starts the run"})),
    ),
    "refuse": ("veto a plan", "gateway.approving.refuse", (DIGEST,)),
    "give-share": (
        "give your key share to a sealed Vault, from your own machine straight to it",
        "gateway.shares.give_share",
        (
            (
                "--cluster",
                {"default": "hoodcloud", "metavar": "NAME", "help": "the Vault cluster (default: hoodcloud)"},
            ),
            ("--fingerprint", {"action": "store_true", "help": "only print the share's fingerprint, send nothing"}),
        ),
    ),
    "break-glass": (
        "the same run with no Prefect anywhere: plans, asks for the digest, carries out",
        "gateway.running.break_glass",
        (
            NAME,
            PARAM,
            (
                "--reason",
                {"required": True, "metavar": "TEXT", "help": "why; it goes into the record and the messages"},
            ),
            (
                "--approve",
                {"default": "", "metavar": "DIGEST", "help": "carry out this plan; without it, look and plan"},
            ),
        ),
    ),
    "deliver": (
        "send the outcomes that are still waiting; list or resend those that were given up",
        "gateway.memory.deliver",
        (
            ("--dead", {"action": "store_true", "help": "list what was given up, send nothing"}),
            ("--resend", {"metavar": "ID", "help": "put an outcome that was given up in line again, then send"}),
            ("--drop", {"metavar": "ID", "help": "let go of an outcome that was given up"}),
            ("--channel", {"metavar": "NAME", "help": "with --resend and --drop: only this channel"}),
            ("--now", {"action": "store_true", "help": "also what waits for the time of its next attempt"}),
            (
                "--at-most",
                {"type": _seconds, "default": 60, "metavar": "S", "help": "stop after S seconds (default: 60)"},
            ),
        ),
    ),
    "audit": (
        "`audit verify`: prove that nobody changed the journal",
        "gateway.memory.audit",
        (
            (
                "what",
                {"choices": ["verify"], "metavar": "verify", "help": "check every row's hash against the one before"},
            ),
            (
                "--head",
                {"metavar": "DIGITS", "help": "a journal head from an old message; it must still be in the chain"},
            ),
        ),
    ),
    "lab": (
        "a world of real servers on this machine, to break and to mend (`lab up`, `lab break vault`, `lab cases`)",
        "gateway.practice.lab",
        (("rest", {"nargs": argparse.REMAINDER, "metavar": "…", "help": "see `runbook lab --help`"}),),
    ),
}


def _prefix(name: str) -> str:
    """What begins an option. The lab has a parser of its own: here its words are all the same, `--help` too."""
    return "-" if name != "lab" else "\0"


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; a parsed `command` is the dotted name of the function that does it."""
    top = argparse.ArgumentParser(
        prog="runbook",
        description="HoodCloud's runbooks: find out what is wrong, show the plan, do what was approved, prove it.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (does, command, arguments) in COMMANDS.items():
        one = commands.add_parser(name, help=does, description=does, add_help=name != "lab", prefix_chars=_prefix(name))
        one.set_defaults(command=command)
        for flag, options in arguments:
            one.add_argument(flag, **options)
        if name != "lab":
            one.add_argument("--json", action="store_true", help="print JSON for scripts")
    return top
