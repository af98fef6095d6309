"""Commands that only read what this project knows: no store, no network."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

import runbooks
from gateway.forms import form
from gateway.printing import say_json, show
from runbooks.catalogue import catalogue, runbook
from store.settings import settings


def list_runbooks(asked: argparse.Namespace) -> None:
    """Print every runbook with its purpose."""
    rows = [{"name": book.name, "purpose": book.purpose} for book in catalogue().values()]
    show(rows, as_json=asked.json, empty="no runbooks")


def show_runbook(asked: argparse.Namespace) -> None:
    """Print what a runbook does, what it can be asked with, who has to agree, and its page. Raises: BadRequest."""
    book = runbook(asked.name)
    page = Path(runbooks.__path__[0], f"{book.module}.md").read_text(encoding="utf-8")
    policy = settings().policy(book)
    agree = f"{policy.approvals} approval" + ("s of different people" if policy.approvals > 1 else "")
    if policy.irreversible_approvals > policy.approvals:
        agree += f", {policy.irreversible_approvals} where a step cannot be undone"
    own = "who asked may approve" if policy.requester_may_approve else "who asked may not approve"
    parameters = [
        {"parameter": field.name, "default": field.default or "-", "meaning": field.meaning}
        for field in form(book).values()
    ]
    if asked.json:
        facts = {"name": book.name, "purpose": book.purpose, "approvals": policy.approvals, "findings": book.findings}
        say_json({**facts, "parameters": parameters, "page": page})
        return
    print(f"{book.name}: {book.purpose}\nneeds {agree}; {own}; a plan may be approved for {policy.valid_s // 60} min\n")
    show(parameters, as_json=False, empty="no parameters")
    print()
    if sys.stdout.isatty():
        Console().print(Markdown(page))
    else:
        print(page)
