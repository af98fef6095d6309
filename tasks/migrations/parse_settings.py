"""Which probes mean the same in a session that has just begun as in the file, which may have set something before."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from runbooks.migrations.statements import Kind, Statement
from tasks.migrations.parse_probe import ALWAYS, NEVER

_HARMLESS_WORDS = """
    application_name check_function_bodies client_min_messages commit_delay deadlock_timeout
    default_table_access_method default_tablespace default_toast_compression effective_cache_size
    hash_mem_multiplier idle_in_transaction_session_timeout idle_session_timeout jit lock_timeout log_duration
    log_min_duration_statement log_min_error_statement log_min_messages log_statement maintenance_work_mem
    max_parallel_maintenance_workers max_parallel_workers max_parallel_workers_per_gather random_page_cost
    statement_timeout synchronous_commit temp_buffers temp_tablespaces transaction_timeout vacuum_cost_delay
    vacuum_cost_limit work_mem
"""
_HARMLESS = frozenset(_HARMLESS_WORDS.split())
"""Settings that decide how long something may take and what is told of it, never which rows it finds."""

_SETS_NOTHING = re.compile(
    r"(show|lock|listen|unlisten|prepare|deallocate|declare|fetch|move|close|checkpoint|set\s+constraints)\b",
    re.IGNORECASE,
)
_MOVES_NAMES = re.compile(
    r"search_path|\b(create|into)\s+((global|local)\s+)?temp(orary)?\b|\bset_config\b", re.IGNORECASE
)
_SETS_INSIDE = re.compile(
    r"\b(re)?set\s+((session|local)\s+)?(time\s+zone|names|role|all|session|[\w.\"]+\s*(=|to\b))", re.IGNORECASE
)
"""SET in a block; UPDATE … SET looks alike, but then the block is no quiet one."""


def where_asked_alike(statements: Iterable[Statement]) -> Iterator[Statement]:
    """The same; without a probe once a row, a name or a constant may mean something else than at the login.

    NEVER and ALWAYS ask nothing, and stay.
    """
    alike = True
    for statement in statements:
        yield statement if alike or statement.probe in (NEVER, ALWAYS) else replace(statement, probe="")
        alike = alike and not _changes_meaning(statement)


def _changes_meaning(statement: Statement) -> bool:
    match statement.kind:
        case Kind.SETTING if _SETS_NOTHING.match(statement.text):
            return False
        case Kind.SETTING:
            return not statement.names or not statement.names <= _HARMLESS
        case Kind.QUERY | Kind.BLOCK if statement.probe != NEVER:  # a function may set anything
            return True
        case Kind.DML:
            return "set_config" in statement.text.lower()
        case Kind.BLOCK if _SETS_INSIDE.search(statement.text):
            return True
    return _MOVES_NAMES.search(statement.text) is not None
