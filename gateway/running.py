"""Commands that run a runbook in this process, with no Prefect server: to look and plan, or with the glass broken."""

import argparse
import importlib
import shlex
import signal
import sys
import uuid
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from gateway.forms import answers
from gateway.person import person
from gateway.printing import say_json
from runbooks import catalogue
from runbooks.catalogue import Runbook
from runbooks.consent import Door, Origin
from runbooks.errors import BadRequest, NotApproved
from runbooks.report import Ending, Report
from store.doors import entered, looking_only


def plan(asked: argparse.Namespace) -> None:
    """Look and plan; print the plan. Changes nothing but the store. Raises: RunbookError."""
    book = catalogue.runbook(asked.name)
    report = _run(book, asked, Door.COMMAND_LINE, approve="")
    _print(report, asked, f"runbook approve {report.plan.digest}")


def run(asked: argparse.Namespace) -> int:
    """Look, plan, and carry out what needs no asking, here and now: for pipelines. Raises: RunbookError.

    Returns 4 where the plan has to be approved first; then nothing was changed.
    """
    book = catalogue.runbook(asked.name)
    report = _run(book, asked, Door.COMMAND_LINE, approve="", act=True)
    _print(report, asked, f"runbook approve {report.plan.digest}")
    return NotApproved.exit_code if report.ending is Ending.AWAITS_APPROVAL else 0


def break_glass(asked: argparse.Namespace) -> None:
    """Run without Prefect: show the plan, ask for its digest, carry it out. Raises: RunbookError."""
    if not asked.reason.strip():
        raise BadRequest(
            "reason-missing", "the reason is empty", hint='say why: --reason "Prefect is down, Vault is sealed"'
        )
    book = catalogue.runbook(asked.name)
    approve = asked.approve
    if not approve:
        report = _run(book, asked, Door.BREAK_GLASS, approve="")
        given = "".join(f" --param {shlex.quote(pair)}" for pair in asked.param)
        again = f'runbook break-glass {book.name}{given} --approve {report.plan.digest} --reason "…"'
        _print(report, asked, again)
        if report.ending is not Ending.AWAITS_APPROVAL or asked.json or not sys.stdin.isatty():
            return
        with suppress(EOFError):
            approve = input("\ntype the digest to carry it out, or nothing to leave it: ")
        if not approve.strip():
            return
    _print(_run(book, asked, Door.BREAK_GLASS, approve=approve), asked, "")


def _run(book: Runbook, asked: argparse.Namespace, door: Door, approve: str, *, act: bool = False) -> Report[Any]:
    """One run in this process. Without `approve` it only looks, unless it may `act` on standing consent."""
    parameters = answers(book, asked.param)
    name = f"{book.name} by {door}"
    origin = Origin(uuid.uuid4().hex, door, person(), asked.reason, name, parameters=tuple(sorted(parameters.items())))
    module, _, function = book.entrypoint.rpartition(".")
    # by name, as this package may not depend on Prefect: whoever only asks for help does not wait for it
    without_prefect = importlib.import_module("tasks.without_prefect").without_prefect
    flow = getattr(importlib.import_module(module), function)
    tokens = entered.set(origin), looking_only.set(not (approve or act))
    # a lost connection stops the run at a known point, and it is told
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with without_prefect():
            # what Prefect does with the parameters of a form: `false` becomes False where the flow wants a bool
            values = flow.validate_parameters({**parameters, "approve": approve, "reason": asked.reason})
            report: Report[Any] = flow.fn(**values)
    finally:
        entered.reset(tokens[0])
        looking_only.reset(tokens[1])
        for number, handler in before.items():
            signal.signal(number, handler)
    return report


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _print(report: Report[Any], asked: argparse.Namespace, approve_by: str) -> None:
    sheet = report.plan.sheet()
    if asked.json:
        applied = [{"step": one.step, "note": one.note} for one in report.applied]
        ending = {"ending": report.ending, "applied": applied, "verdict": report.verdict, "warning": report.warning}
        say_json({**sheet.document(), **ending})
        return
    if report.ending is Ending.DONE:
        for one in report.applied:
            print(f"done: {one.step}" + (f" ({one.note})" if one.note else ""))
        print(f"{sheet.target}: {report.verdict}" + (f"\nwarning: {report.warning}" if report.warning else ""))
        return
    for exhibit in sheet.exhibits:
        print("\n".join(exhibit.lines()), end="\n\n")
    print(sheet)
    for number, undo in reversed(list(enumerate(sheet.undo, 1))):
        print(f"  to undo {number}: {undo}" if undo else f"  {number} CANNOT be undone")
    if report.ending is Ending.AWAITS_APPROVAL:
        print(f"\nplan {sheet.digest}; nothing was changed. To carry it out:\n  {approve_by}")
