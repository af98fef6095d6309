"""Whether a DO block does the same on scratch as on the live server: neither rows, nor the server, nor the moment
decide what it does.

Scratch has the objects of the live database and no more: not its roles, settings, statistics, extensions to be had. In
doubt a block is not steady.
"""

from collections.abc import Sequence

from tasks.migrations.parse_block import body_of
from tasks.migrations.parse_reach import body_reaches_out
from tasks.migrations.parse_words import is_string, text_in, words_of

_TELLS = frozenset({"notice", "info", "log", "warning", "debug"})
_HOLDS_NOTHING = frozenset({"constraint", "trigger", "index", "policy", "rule", "view", "function", "procedure",
                            "default", "not", "expression", "identity"})  # fmt: skip

_CATALOGS = frozenset({"pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_description", "pg_enum",
                       "pg_index", "pg_indexes", "pg_inherits", "pg_matviews", "pg_namespace", "pg_policies",
                       "pg_policy", "pg_proc", "pg_range", "pg_rewrite", "pg_rules", "pg_tables", "pg_trigger",
                       "pg_type", "pg_views"})  # fmt: skip
"""What our look at a database covers, so that it is the same on scratch wherever the look is the same."""

_SCHEMA = frozenset({"check_constraints", "column_privileges", "columns", "constraint_column_usage",
                     "constraint_table_usage", "domains", "key_column_usage", "parameters", "referential_constraints",
                     "routines", "schemata", "sequences", "table_constraints", "tables", "triggers",
                     "views"})  # fmt: skip
"""The same of information_schema."""

_ASKS = frozenset({"current_user", "session_user", "user", "current_role", "system_user", "current_catalog", "show",
                   "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "regrole",
                   "to_regrole", "reltuples", "relpages", "relallvisible", "relallfrozen", "relfilenode",
                   "reltablespace", "relfrozenxid", "relminmxid", "attmissingval", "atthasmissing", "xmin", "ctid",
                   "tableoid", "assert", "'now'", "'today'", "'tomorrow'", "'yesterday'"})  # fmt: skip
"""Words that ask who, when, or for what nobody compares."""

_ASKING_CALLS = frozenset({"age", "clock_timestamp", "current_database", "current_setting", "currval", "lastval", "now",
                           "statement_timestamp", "timeofday", "transaction_timestamp", "txid_current",
                           "version"})  # fmt: skip
_NEEDS_OTHERS = frozenset({"grant", "revoke", "owner", "role", "authorization", "extension", "server", "language"})
"""What fails where a role or a library is missing: with EXCEPTION that goes unseen."""

_ENDS_LIST = frozenset({"where", "group", "order", "having", "limit", "offset", "union", "except", "intersect", "for",
                        "then", "loop", ";", "window", "fetch"})  # fmt: skip


def steady(tree: object) -> bool:
    """Whether the catalog alone decides what a block, given as its tree, does or whether it fails, and no row is lost.

    One that raises (a check of rows, mostly), that looks into tables or asks about the server, or drops what holds
    rows, is not.
    """
    body = body_of(tree)
    return body is not None and _steady(body) and not body_reaches_out(body)


def _steady(text: str) -> bool:
    words = words_of(text)
    if words is None:
        return False
    lower = [word.lower().replace('"', "") for word in words]
    if _ASKS.intersection(lower) or ("exception" in lower and _NEEDS_OTHERS.intersection(lower)):
        return False
    for place, (word, after) in enumerate(zip(lower, [*lower[1:], ""], strict=True)):
        if word == "raise" and after not in _TELLS:
            return False
        if word == "drop" and after not in _HOLDS_NOTHING:
            return False
        if word in _ASKING_CALLS and after == "(":
            return False
        if word == "table" and (place == 0 or lower[place - 1] in ("(", "as", "query", "union", "all", "for")):
            return False  # TABLE t is SELECT * FROM t
        if word in ("from", "join") and not _covered(lower, place + 1, several=word == "from"):
            return False
    inner = (text_in(word) for word in words if is_string(word))
    return all(found is not None and _steady(found) for found in inner)


def _covered(words: Sequence[str], place: int, *, several: bool) -> bool:
    """Whether what stands from `place` on, after FROM or JOIN, are catalogs that scratch has."""
    if not _is_covered(words, place):
        return False
    depth = 0
    while several and place < len(words) and depth >= 0 and not (depth == 0 and words[place] in _ENDS_LIST):
        depth += {"(": 1, ")": -1}.get(words[place], 0)
        if words[place] == "," and depth == 0 and not _is_covered(words, place + 1):
            return False
        place += 1
    return True


def _is_covered(words: Sequence[str], place: int) -> bool:
    first, dot, second = [*words[place : place + 3], "", "", ""][:3]
    if dot != ".":
        return first in _CATALOGS
    return second in {"pg_catalog": _CATALOGS, "information_schema": _SCHEMA}.get(first, frozenset())
