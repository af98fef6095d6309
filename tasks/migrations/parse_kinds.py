"""What kind of thing a statement does, told by the node that PostgreSQL's grammar makes of it.

The node's name is that of `pg_query.proto`, as `update_stmt`; whatever is not named here defines something.
"""

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg

from runbooks.migrations.statements import Kind
from tasks.migrations.parse_names import Mentions

_PURE_WORDS = """
    abs array_agg array_append array_cat array_length array_position array_remove array_replace array_to_string avg
    bool_and bool_or btrim cardinality ceil char_length coalesce concat concat_ws count date_part date_trunc decode
    digest dense_rank encode every extract floor format format_type generate_series greatest initcap json_agg
    json_build_array json_build_object jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_object_agg jsonb_object_keys jsonb_set
    jsonb_strip_nulls jsonb_typeof lag lead least left length lower lpad ltrim make_date make_interval max md5 min mod
    nullif num_nonnulls num_nulls octet_length overlay position power quote_ident quote_literal quote_nullable rank
    regexp_match regexp_replace
    regexp_split_to_array repeat replace reverse right round row_number row_to_json rpad rtrim sha256 sign split_part
    sqrt string_agg string_to_array strpos substr substring sum to_char to_date to_json to_jsonb to_number to_regclass
    to_timestamp translate trim trunc unnest upper width_bucket
"""
PURE = frozenset(_PURE_WORDS.split())
"""Functions of PostgreSQL that do nothing but compute, always the same from the same."""

_LOOKS_WORDS = """
    age clock_timestamp current_database current_schema current_setting currval now obj_description pg_advisory_lock
    pg_advisory_unlock pg_advisory_unlock_all pg_advisory_xact_lock pg_get_serial_sequence pg_sleep statement_timestamp
    transaction_timestamp txid_current version
"""
LOOKS = PURE | frozenset(_LOOKS_WORDS.split())
"""Those that leave nothing behind in the database."""

_BY_NODE = {
    **dict.fromkeys(("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "truncate_stmt"), Kind.DML),
    **dict.fromkeys(("do_stmt", "call_stmt", "execute_stmt", "load_stmt"), Kind.BLOCK),
    **dict.fromkeys(("notify_stmt",), Kind.QUERY),
    "transaction_stmt": Kind.CONTROL,
    # What only the session sees; run again, it does what it did.
    **dict.fromkeys(
        (
            *("variable_set_stmt", "variable_show_stmt", "constraints_set_stmt", "lock_stmt", "discard_stmt"),
            *("listen_stmt", "unlisten_stmt", "prepare_stmt", "deallocate_stmt"),
            *("fetch_stmt", "close_portal_stmt", "check_point_stmt"),
        ),
        Kind.SETTING,
    ),
}
BEYOND = frozenset(
    (
        *("create_role_stmt", "alter_role_stmt", "alter_role_set_stmt", "drop_role_stmt", "grant_role_stmt"),
        *("createdb_stmt", "alter_database_stmt", "alter_database_set_stmt", "dropdb_stmt", "alter_system_stmt"),
        *("create_table_space_stmt", "drop_table_space_stmt", "alter_table_space_options_stmt"),
        *("create_subscription_stmt", "alter_subscription_stmt", "drop_subscription_stmt"),
        *("import_foreign_schema_stmt",),
    )
)
"""Statements that reach beyond the one database: roles, databases, table spaces, other servers."""

_OWNERS = frozenset(
    (
        *("grant_stmt", "grant_role_stmt", "alter_owner_stmt", "reassign_owned_stmt", "drop_owned_stmt"),
        *("alter_default_privileges_stmt", "do_stmt", "call_stmt", "execute_stmt"),
    )
)
_ROLE_SETTINGS = frozenset({"role", "session_authorization"})


def kind_of(node: str, tree: Message, found: Mentions) -> Kind:
    """The kind of one statement.

    SAVEPOINT and its like are `CONTROL`, since they have no effect of their own. Roles, databases and table spaces are
    a `BLOCK`: no catalog of this database shows them. COPY … TO reads, COPY … FROM writes rows. A cursor is
    what its query is.
    """
    if node in BEYOND:
        return Kind.BLOCK
    if node == "select_stmt":
        return _kind_of_select(tree, found)
    if node == "copy_stmt":
        return Kind.DML if tree.is_from or found.writes else _kind_of_call(found)
    if node == "declare_cursor_stmt":
        return Kind.SETTING if only_looks(found) else _kind_of_call(found)
    if node == "explain_stmt":
        analyzes = any(option.def_elem.defname == "analyze" for option in tree.options)
        if analyzes and tree.query.WhichOneof("node") == "execute_stmt":
            return Kind.BLOCK
        return Kind.DML if analyzes and found.writes else Kind.QUERY
    if node == "transaction_stmt" and tree.kind in _PREPARED:
        return Kind.BLOCK
    return _BY_NODE.get(node, Kind.DDL)


_PREPARED = frozenset({pg.TRANS_STMT_COMMIT_PREPARED, pg.TRANS_STMT_ROLLBACK_PREPARED})


def _kind_of_select(tree: Message, found: Mentions) -> Kind:
    assert isinstance(tree, pg.SelectStmt)
    if tree.HasField("into_clause"):
        return Kind.DDL
    if found.writes:
        return Kind.DML
    return _kind_of_call(found)


def _kind_of_call(found: Mentions) -> Kind:
    if found.functions & {"setval", "nextval"}:
        return Kind.DML
    if "set_config" in found.functions and found.functions <= LOOKS | {"set_config"}:
        return Kind.SETTING
    return Kind.QUERY


def only_looks(found: Mentions) -> bool:
    """Whether a query with these functions certainly changes nothing."""
    return found.functions <= LOOKS and not found.writes


def control_of(node: str, tree: Message) -> str:
    """begin, commit or rollback; empty for all else, savepoints included.

    PREPARE TRANSACTION counts as rollback: what it did is not to be seen until COMMIT PREPARED. AND CHAIN, which
    begins the next transaction at once, does not show here.
    """
    if node != "transaction_stmt":
        return ""
    return {
        pg.TRANS_STMT_BEGIN: "begin",
        pg.TRANS_STMT_START: "begin",
        pg.TRANS_STMT_COMMIT: "commit",
        pg.TRANS_STMT_ROLLBACK: "rollback",
        pg.TRANS_STMT_PREPARE: "rollback",
    }.get(tree.kind, "")


def sets_owner(node: str, tree: Message, kind: Kind, found: Mentions) -> bool:
    """Whether it sets an owner or privileges, or might: a block, an unknown function, SET ROLE before a CREATE."""
    if node in _OWNERS or kind is Kind.BLOCK:
        return True
    if isinstance(tree, pg.VariableSetStmt):
        return tree.name in _ROLE_SETTINGS or tree.kind == pg.VAR_RESET_ALL
    if isinstance(tree, pg.AlterTableStmt):
        return any(command.alter_table_cmd.subtype == pg.AT_ChangeOwner for command in tree.cmds)
    if isinstance(tree, pg.CreateSchemaStmt):
        return tree.HasField("authrole") or any(item.HasField("grant_stmt") for item in tree.schema_elts)
    return kind in {Kind.QUERY, Kind.SETTING} and bool(found.functions - LOOKS)
