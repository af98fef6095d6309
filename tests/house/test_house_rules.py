"""The rules of the house that no linter sees."""

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runbooks.catalogue import catalogue
from store import faults

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("runbooks", "store", "keys", "channels", "tasks", "flows", "gateway", "lab")
FLOWS = [path for path in sorted((ROOT / "flows").glob("*.py")) if path.stem != "__init__"]
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
BOOKS = list(catalogue().values())


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FLOWS, ids=name_of)
def test_a_flow_file_is_one_function_that_is_read_top_to_bottom(path: Path) -> None:
    defined = [
        node for node in tree(path).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert [node.name for node in defined] == [path.stem]
    nodes = list(ast.walk(tree(path)))
    assert not [node for node in nodes if isinstance(node, ast.For | ast.While | ast.Try | ast.ClassDef)]
    assert len([node for node in nodes if isinstance(node, ast.If | ast.IfExp)]) <= 1
    loops = [node for node in nodes if isinstance(node, ast.comprehension)]
    assert [ast.unparse(loop.iter) for loop in loops] in ([], ["plan.steps"])


@pytest.mark.parametrize("path", FLOWS, ids=name_of)
def test_a_flow_file_shadows_no_module(path: Path) -> None:
    assert "_" in path.stem
    assert importlib.util.find_spec(path.stem) is None


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.parts[-2] == "tasks" or "tasks" in path.parts], ids=name_of
)
def test_every_task_writes_out_its_retries_and_never_answers_from_a_cache(path: Path) -> None:
    for function in functions(path):
        for decorator in function.decorator_list:
            if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "task"):
                continue
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in decorator.keywords}
            assert options.get("cache_policy") == "NO_CACHE", function.name
            assert "retries" in options, function.name
            if function.name.startswith("apply"):
                assert options["retries"] == "0", "what changes something is never repeated blindly"


def test_a_consent_is_made_in_one_place_and_asked_for_by_every_apply() -> None:
    made = [
        name_of(path)
        for path in SOURCES
        if "Consent(" in path.read_text(encoding="utf-8").replace("class Consent(", "")
    ]
    assert made == ["runbooks/plan.py"]
    applies = [f for path in SOURCES if "tasks" in path.parts for f in functions(path) if f.name == "apply"]
    assert applies
    for function in applies:
        assert any(
            isinstance(node, ast.Assert) and "consent.covers(step)" in ast.unparse(node) for node in ast.walk(function)
        )


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_a_runbook_has_a_page_with_a_heading_for_everything_it_can_say(book) -> None:  # type: ignore[no-untyped-def]
    headings = set((ROOT / book.page).read_text(encoding="utf-8").split("\n"))
    assert [word for word in (*book.findings, *book.failures) if f"## {word}" not in headings] == []


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_a_runbook_has_a_flow_a_test_and_a_deployment(book) -> None:  # type: ignore[no-untyped-def]
    assert (ROOT / "flows" / f"{book.name.replace('-', '_')}.py").is_file()
    assert (ROOT / "tests" / "thinking" / f"test_{book.module}.py").is_file()
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert book.entrypoint in [one["entrypoint"] for one in deployments]


def references() -> set[str]:
    """Every reference that any error of the project can carry, read off the calls that make them."""
    found = set()
    kinds = {node.name for node in tree(ROOT / "runbooks/errors.py").body if isinstance(node, ast.ClassDef)}
    for path in SOURCES:
        if path.is_relative_to(ROOT / "lab"):
            continue
        for node in ast.walk(tree(path)):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in kinds | {"Stopped"}):
                continue
            if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found | {*faults.HINTS}


def test_every_reference_is_a_heading_of_a_page() -> None:
    pages = [*sorted((ROOT / "runbooks").glob("*.md")), ROOT / "deployments" / "README.md"]
    headings = {
        line[3:] for page in pages for line in page.read_text(encoding="utf-8").split("\n") if line.startswith("## ")
    }
    assert references() - headings == set()


def test_a_message_leads_to_the_heading_that_explains_its_word() -> None:
    for book in BOOKS:
        for word in references() | {*book.findings, *book.failures}:
            page, _, heading = book.explained_at(word).partition("#")
            assert f"\n## {heading}\n" in (ROOT / page).read_text(encoding="utf-8"), f"{page}#{heading}"


PAGES = [path for path in sorted(ROOT.rglob("*.md")) if not {".venv", "build"} & set(path.parts)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        found = page.parent / file if file else page
        assert found.exists(), target
        if heading and found.suffix == ".md":
            words = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^a-z0-9 -]", "", word.lower()).replace(" ", "-") for word in words}, target


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_and_its_functions_are_small_enough_to_read(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= 300
    long = {
        f.name: f.end_lineno - f.lineno + 1 for f in functions(path) if f.end_lineno and f.end_lineno - f.lineno >= 45
    }
    assert long == {}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_name_says_something(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def test_thinking_and_memory_and_doors_import_without_prefect() -> None:
    modules = (
        "runbooks.catalogue, store.outbox, channels.deliver, gateway.command_line, gateway.memory, gateway.running"
    )
    code = f"import sys, {modules}; sys.exit(any(name.split('.')[0] == 'prefect' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=False).returncode == 0


def test_thinking_imports_the_standard_library_only() -> None:
    code = (
        "import sys, pkgutil, importlib, runbooks\n"
        "for found in pkgutil.iter_modules(runbooks.__path__): importlib.import_module('runbooks.' + found.name)\n"
        "roots = {name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names) - {'runbooks'}\n"
        "sys.exit(str(sorted(root for root in roots if not root.startswith('_'))) if [\n"
        "    root for root in roots if not root.startswith('_')] else 0)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
