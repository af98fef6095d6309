"""Whether a statement must stand alone, and whether running it again does nothing."""

import re
from collections.abc import Callable, Iterable

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg

from tasks.migrations.parse_names import mentions, qualified
from tasks.migrations.parse_steady import steady
from tasks.migrations.parse_tree import parts_of

_ALONE_WORDS = """
    alter_system_stmt createdb_stmt dropdb_stmt create_table_space_stmt drop_table_space_stmt drop_subscription_stmt
    alter_subscription_stmt
"""
_ALONE = frozenset(_ALONE_WORDS.split())
"""PreventInTransactionBlock() in PostgreSQL's sources; the rest of it depends on options."""

_IDEMPOTENT = frozenset(
    {
        *(pg.AT_ColumnDefault, pg.AT_DropNotNull, pg.AT_SetNotNull, pg.AT_SetStatistics, pg.AT_SetOptions),
        *(pg.AT_ResetOptions, pg.AT_SetStorage, pg.AT_SetCompression, pg.AT_ValidateConstraint, pg.AT_ChangeOwner),
        *(pg.AT_SetRelOptions, pg.AT_ResetRelOptions, pg.AT_EnableTrig, pg.AT_EnableAlwaysTrig, pg.AT_DisableTrig),
        *(pg.AT_EnableReplicaTrig, pg.AT_EnableRowSecurity, pg.AT_DisableRowSecurity, pg.AT_ForceRowSecurity),
        *(pg.AT_NoForceRowSecurity, pg.AT_ReplicaIdentity, pg.AT_SetLogged, pg.AT_SetUnLogged),
    }
)
"""Commands of ALTER TABLE that say what shall be, and are content when it is so."""

_ALWAYS_GUARDED_WORDS = """
    comment_stmt grant_stmt alter_owner_stmt
"""
_ALWAYS_GUARDED = frozenset(_ALWAYS_GUARDED_WORDS.split())

_UNSEEN = frozenset(
    {
        *(pg.OBJECT_CONVERSION, pg.OBJECT_OPFAMILY, pg.OBJECT_TRANSFORM, pg.OBJECT_ACCESS_METHOD),
        *(pg.OBJECT_TSPARSER, pg.OBJECT_TSTEMPLATE),
    }
)
"""Kinds of objects that our catalog does not have."""

_NEVER_FAILS_WORDS = """
    clock_timestamp coalesce concat count current_database current_schema left length lower max min now pg_advisory_lock
    pg_advisory_unlock pg_advisory_unlock_all pg_advisory_xact_lock pg_sleep statement_timestamp transaction_timestamp
    trim upper version
"""
_NEVER_FAILS = frozenset(_NEVER_FAILS_WORDS.split())
"""Functions that fail for no row."""

_CAN_FAIL = frozenset({"/", "%", "^"})
"""Operators that fail for some numbers: dividing by zero is a way to check rows."""


def alone(node: str, tree: Message) -> bool:
    """Whether PostgreSQL refuses it inside a transaction, so far as its text tells.

    Not told by the text: CLUSTER or REINDEX of a partitioned table, CALL of a procedure that commits.
    """
    return node in _ALONE or (node in _SOMETIMES_ALONE and _SOMETIMES_ALONE[node](tree))


_WIDE = frozenset({pg.REINDEX_OBJECT_SCHEMA, pg.REINDEX_OBJECT_SYSTEM, pg.REINDEX_OBJECT_DATABASE})
_PREPARED = frozenset({pg.TRANS_STMT_COMMIT_PREPARED, pg.TRANS_STMT_ROLLBACK_PREPARED})
_SOMETIMES_ALONE: dict[str, Callable[[Message], bool]] = {
    "index_stmt": lambda tree: tree.concurrent,
    "drop_stmt": lambda tree: tree.concurrent,
    "reindex_stmt": lambda tree: tree.kind in _WIDE or _option(tree.params, "concurrently", absent=False),
    "vacuum_stmt": lambda tree: tree.is_vacuumcmd,  # else it is ANALYZE, which may stand anywhere
    "cluster_stmt": lambda tree: not tree.HasField("relation"),
    "alter_table_stmt": lambda tree: any(_detaches_concurrently(command.alter_table_cmd) for command in tree.cmds),
    "alter_database_stmt": lambda tree: any(option.def_elem.defname == "tablespace" for option in tree.options),
    "create_subscription_stmt": lambda tree: all(
        _option(tree.options, name, absent=True) for name in ("connect", "create_slot")
    ),
    "discard_stmt": lambda tree: tree.target == pg.DISCARD_ALL,
    "transaction_stmt": lambda tree: tree.kind in _PREPARED,
}


def _detaches_concurrently(command: pg.AlterTableCmd) -> bool:
    finalizes = bool(command.subtype == pg.AT_DetachPartitionFinalize)
    detaches = bool(command.subtype == pg.AT_DetachPartition)
    return finalizes or (detaches and bool(getattr(command, "def").partition_cmd.concurrent))


def _option(options: Iterable[pg.Node], name: str, *, absent: bool) -> bool:
    for option in options:
        if option.def_elem.defname == name:
            value = option.def_elem.arg
            word = value.string.sval or str(value.boolean.boolval or value.integer.ival or "")
            return not value.WhichOneof("node") or word.lower() in {"true", "on", "1"}
    return absent


def guarded(node: str, tree: Message) -> bool:
    """Whether running it again, when it has run, is no error and leaves objects and rows as they are.

    Its words tell: IF EXISTS, IF NOT EXISTS, OR REPLACE, or a command that says what shall be. Of a query or a block:
    whether it cannot fail for what is in the tables.
    """
    if node in _ALWAYS_GUARDED or node in _GUARDED:
        return node in _ALWAYS_GUARDED or _GUARDED[node](tree)
    fields = tree.DESCRIPTOR.fields_by_name
    return any(name in fields and getattr(tree, name) for name in ("if_not_exists", "missing_ok", "replace"))


def _renames_again(tree: Message) -> bool:
    assert isinstance(tree, pg.RenameStmt)
    return bool(tree.missing_ok) and tree.rename_type not in {
        pg.OBJECT_COLUMN,
        pg.OBJECT_TABCONSTRAINT,
        pg.OBJECT_ATTRIBUTE,
    }


def _never_fails(tree: Message) -> bool:
    assert isinstance(tree, pg.SelectStmt)
    found = mentions(tree)
    if tree.HasField("into_clause") or found.writes or not found.functions <= _NEVER_FAILS:
        return False
    for part in parts_of(tree):
        if isinstance(part, pg.A_Expr) and any(name.string.sval in _CAN_FAIL for name in part.name):
            return False
        if isinstance(part, pg.TypeCast) and not part.arg.HasField("a_const"):
            return False
    return True


def _alters_again(tree: Message) -> bool:
    assert isinstance(tree, pg.AlterTableStmt)
    commands = [command.alter_table_cmd for command in tree.cmds]
    kinds = {command.subtype for command in commands}
    if {pg.AT_AddColumn, pg.AT_DropColumn} <= kinds:
        return False  # the column is the same afterwards, and what was in it is gone
    return all(command.missing_ok or command.subtype in _IDEMPOTENT for command in commands)


def _makes_again(tree: Message) -> bool:
    """A temporary table is gone with its session; what its query calls is not."""
    assert isinstance(tree, pg.CreateTableAsStmt)
    temporary = tree.into.rel.relpersistence == "t" and tree.query.HasField("select_stmt")
    return tree.if_not_exists or (temporary and _never_fails(tree.query.select_stmt))


# REINDEX, CLUSTER and VACUUM are done because something is wrong, and nobody can tell whether they were: never guarded
_GUARDED: dict[str, Callable[[Message], bool]] = {
    "select_stmt": _never_fails,
    "do_stmt": steady,
    "alter_table_stmt": _alters_again,
    "alter_seq_stmt": lambda tree: all(option.def_elem.defname != "restart" for option in tree.options),
    "alter_enum_stmt": lambda tree: bool(tree.skip_if_new_val_exists),
    "rename_stmt": _renames_again,
    "drop_stmt": lambda tree: bool(tree.missing_ok) and tree.remove_type not in _UNSEEN,
    "create_transform_stmt": lambda _: False,
    "create_stmt": lambda tree: tree.if_not_exists or tree.relation.relpersistence == "t",
    "create_table_as_stmt": _makes_again,
    "vacuum_stmt": lambda tree: not tree.is_vacuumcmd,  # ANALYZE
}


_UNSEEN_NODES_WORDS = """
    create_conversion_stmt create_op_family_stmt alter_op_family_stmt create_transform_stmt create_am_stmt
    sec_label_stmt
"""
_UNSEEN_NODES = frozenset(_UNSEEN_NODES_WORDS.split())
_UNSEEN_WORDS = re.compile(
    r"restart|conversion|operator\s+family|transform|access\s+method|security\s+label|search\s+(parser|template)",
    re.IGNORECASE,
)


def unseen(text: str) -> str:
    """What a definition changes that no object of our catalog shows, so that nothing can prove it taken back."""
    if not _UNSEEN_WORDS.search(text):
        return ""
    statement = postgast.parse(text).stmts[0].stmt
    node = statement.WhichOneof("node") or ""
    tree = getattr(statement, node)
    restarts = any(isinstance(part, pg.DefElem) and part.defname == "restart" for part in parts_of(tree))
    if restarts and node in {"alter_seq_stmt", "alter_table_stmt"}:
        return "where a sequence goes on"
    kinds = {getattr(tree, "remove_type", None), getattr(tree, "kind", None)} & _UNSEEN
    hidden = node in _UNSEEN_NODES or (node in {"drop_stmt", "define_stmt"} and kinds)
    return "an object of a kind that is not compared" if hidden else ""


def recast(text: str) -> str:
    """The table of which this statement computes a column anew (ALTER COLUMN … TYPE … USING), else empty."""
    if "using" not in text.lower():
        return ""
    tree = postgast.parse(text).stmts[0].stmt.alter_table_stmt
    commands = (command.alter_table_cmd for command in tree.cmds)
    computes = any(
        command.subtype == pg.AT_AlterColumnType and getattr(command, "def").column_def.HasField("raw_default")
        for command in commands
    )
    return qualified(tree.relation) if computes else ""
