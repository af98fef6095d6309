"""What of a file reaches beyond its database: other databases of the server, the server itself, other servers, files.

Words are looked for, not trees: a block or a function is text in another language. What is too much is found as well,
and only means that the file is not replayed there.
"""

import re
from collections.abc import Iterator

import postgast
from google.protobuf.message import DecodeError
from postgast import pg_query_pb2 as pg

from tasks.migrations.parse_words import executed, is_string, text_in, words_of

_LEAVES_WORDS = (
    r"\b(create|alter|drop) (subscription|tablespace)\b|\bdblink\w*\b"
    r"|\bcreate foreign table\b|\bimport foreign schema\b"
    r"|\bcopy\b[^;]*? (to|from) ('|\$|[enu]&?'|program\b)"
    r"|\blo_(import|export)\b|\bpg_(read_\w*file|ls_\w+|stat_file|file_\w+)\b"
    r"|\bhttp_(get|post|put|patch|delete|head)\b|\bnet ?\. ?http_\w+"
    r"|\baws_(s3|lambda) ?\."
)
_BEYOND_WORDS = (
    r"\b(create|alter|drop) (role|group|database|system|user(?! mapping))\b"
    r"|\b(reassign|drop) owned\b|\b(grant|revoke|comment)\b[^;]*? on (database|tablespace|parameter|role)\b"
    r"|\b(grant|revoke)\b((?!\bon\b)[^;])*? (to|from)\b"  # a role, where no ON names an object
    r"|\bpg_(terminate|cancel)_backend\b|\bpg_(reload_conf|promote|rotate_logfile\w*|log_\w+)\b"
    r"|\bpg_\w*replication_(slot|origin)\w*|\bpg_sync_replication\w*|\bpg_logical_\w+"
    r"|\bpg_(switch_\w+|create_restore_point|wal_replay_\w+|backup_\w+|(start|stop)_backup)\b"
    r"|\bpg_stat_(reset_\w+|statements_reset)\b|\bcron ?\. ?\w+|\bquery_to_xml\w*"
)
_LEAVES = re.compile(_LEAVES_WORDS, re.IGNORECASE)
"""What reaches files or other servers; of words with one space between them."""

_BEYOND = re.compile(f"{_LEAVES_WORDS}|{_BEYOND_WORDS}", re.IGNORECASE)
"""That, and what the other databases of the server see."""

_PERHAPS = re.compile(
    r"role|group|database|tablespace|subscription|system|user|owned|grant|revoke|dblink|program|copy|foreign|\blo_|pg_"
    r"|http_|aws_|cron|query_to_xml|execute|language|\bload\b",
    re.IGNORECASE,
)
_BODY_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_STAY_INSIDE = frozenset({"plpgsql", "sql", "internal"})
"""Languages of which this knows how they reach out."""

_ANYTHING = "EXECUTE of a text that is put together"


def reaches_out(text: str, *, alone: bool = False) -> str:
    """The first words of `text` that reach beyond its database, or may; empty if there are none.

    Comments and plain strings do not count; the bodies of blocks and functions do, with what they EXECUTE: where that
    is not written there whole, but for names and values that are quoted, it may be anything. `alone` says that the
    server has nobody else's databases: then only what leaves the server counts.
    """
    if not _PERHAPS.search(text):
        return ""
    return next(filter(None, _in_sql(text, _LEAVES if alone else _BEYOND, "" if alone else _ANYTHING)), "")[:60]


def body_reaches_out(body: str) -> str:
    """The same of a body; an EXECUTE that may be anything does not count."""
    return next(filter(None, _in_body(body, _BEYOND, "")), "")[:60]


def _in_sql(text: str, wanted: re.Pattern[str], anything: str) -> Iterator[str]:
    """What is `wanted` in SQL; `anything` for an EXECUTE that may be just that."""
    words = words_of(text)
    if words is None:
        return  # no server runs it
    match = wanted.search(" ".join("''" if is_string(word) else word for word in words))
    yield match[0] if match else ""
    for language, body in _bodies(text, words):
        if language not in _STAY_INSIDE:
            yield f"LANGUAGE {language}"
        yield from _in_body(body, wanted, anything)


def _bodies(text: str, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Language and text of each block and function; LOAD and its library, which may do anything, too.

    Where there are no trees (they are nested too deeply, or the server is newer than this grammar), every string.
    """
    try:
        statements = [raw.stmt for raw in postgast.parse(text).stmts]
    except (postgast.PgQueryError, DecodeError):
        yield from (("plpgsql", inner) for word in words if is_string(word) for inner in [text_in(word) or word])
        return
    for statement in statements:
        node = statement.WhichOneof("node") or ""
        if node == "load_stmt":
            yield "C", ""
        if node not in ("do_stmt", "create_function_stmt"):
            continue
        tree = getattr(statement, node)
        options = {item.def_elem.defname: item.def_elem.arg for item in [*getattr(tree, "args", ()), *_options(tree)]}
        said = options["as"] if "as" in options else pg.Node()
        language = options["language"].string.sval if "language" in options else ""
        for part in said.list.items or [said]:
            yield language or ("plpgsql" if node == "do_stmt" else "sql"), part.string.sval


def _options(tree: object) -> list[pg.Node]:
    return [*tree.options] if isinstance(tree, pg.CreateFunctionStmt) else []


def _in_body(body: str, wanted: re.Pattern[str], anything: str) -> Iterator[str]:
    words = words_of(body) or ()
    strings = [text_in(word) or word for word in words if is_string(word)]
    for text in (body, " ".join("''" if is_string(word) else word for word in words), *strings):
        match = wanted.search(" ".join(_BODY_COMMENT.sub(" ", text).split()))
        yield match[0] if match else ""
    for executes in executed(words):
        yield from [anything] if executes is None else _in_sql(executes, wanted, anything)
