"""What a runbook can be asked with, read off its flow's source: importing that would import Prefect."""

import ast
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runbooks.catalogue import Runbook
from runbooks.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a runbook's form: its name, what is filled in, and what a person is told about it."""

    name: str
    default: str
    meaning: str


def form(book: Runbook) -> dict[str, Parameter]:
    """The parameters of the runbook's flow by name, in order."""
    module, _, name = book.entrypoint.rpartition(".")
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, f"{module} is not installed"
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    flow = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    meanings = _meanings(ast.get_docstring(flow) or "")
    names = [argument.arg for argument in (*flow.args.args, *flow.args.kwonlyargs)]
    values = [None] * (len(flow.args.args) - len(flow.args.defaults)) + [*flow.args.defaults, *flow.args.kw_defaults]
    return {
        name: Parameter(name, _said(value), meanings.get(name, "")) for name, value in zip(names, values, strict=True)
    }


def answers(book: Runbook, pairs: Iterable[str]) -> dict[str, str]:
    """The values of `--param name=value`, checked against the form. Raises: BadRequest `parameter-malformed`."""
    fields = form(book)
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in fields or name in ("approve", "reason"):
            known = ", ".join(name for name in fields if name not in ("approve", "reason"))
            raise BadRequest(
                "parameter-malformed",
                f"{pair[:60]!r} is no parameter of {book.name}",
                hint=f"write --param name=value; the names are: {known}",
            )
        given[name] = value
    return given


def _said(default: ast.expr | None) -> str:
    if default is None:
        return ""
    try:
        value = ast.literal_eval(default)
    except ValueError:  # a name, such as a member of an enumeration
        return ast.unparse(default)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _meanings(docstring: str) -> dict[str, str]:
    _, _, args = docstring.partition("Args:\n")
    found: dict[str, str] = {}
    name = ""
    for line in args.splitlines():
        head, colon, rest = line.strip().partition(": ")
        if colon and head.isidentifier() and line.startswith("    ") and not line.startswith("     "):
            name, found[head] = head, rest
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
