"""A query that tells whether running a statement again would touch a row, made from the statement's own tree.

Run it in a read-only transaction with a time-out, under the search path of the file. A probe that fails tells nothing.
"""

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg

from runbooks.migrations.statements import Kind
from tasks.migrations.parse_block import quiet
from tasks.migrations.parse_kinds import PURE, only_looks
from tasks.migrations.parse_names import Mentions, mentions, qualified
from tasks.migrations.parse_tree import as_text, both, either, number, one, parts_of, query, string, table_node

ALWAYS = "SELECT 1"
NEVER = "SELECT 1 WHERE false"

_MOMENTS = ("now", "today", "tomorrow", "yesterday")
"""Constants that are another date each time."""

_COVERED = ("pg_attribute", "pg_class", "pg_constraint", "pg_enum", "pg_namespace", "pg_type")
"""Relations of PostgreSQL's own that say the same to every session."""

_COMPUTES = frozenset(
    (
        *("A_Const", "Integer", "Float", "Boolean", "String", "BitString", "ColumnRef", "TypeCast", "TypeName"),
        *("A_Expr", "BoolExpr", "NullTest", "BooleanTest", "CaseExpr", "CaseWhen", "CoalesceExpr", "MinMaxExpr"),
        *("A_ArrayExpr", "RowExpr", "List", "FuncCall", "Node", "SubLink", "SelectStmt", "RangeVar", "ResTarget"),
        *("JoinExpr", "Alias", "RangeSubselect", "SortBy", "A_Indirection", "A_Indices"),
    )
)
"""Nodes of which an expression may be made that gives the same from the same rows."""

_MOST_ROWS = 500
"""Rows of an INSERT that are looked for one by one; with more, the probe would be a burden."""


def probe(kind: Kind, tree: Message, found: Mentions) -> str:
    """A query that gives a row if and only if running the statement again would touch a row; empty if none can be made.

    None is made of what may answer otherwise to another session or at another moment: the clock, settings, users,
    functions of unknown name.
    """
    if isinstance(tree, pg.DoStmt):
        return NEVER if quiet(tree) else ""
    if kind is Kind.QUERY:
        return NEVER if only_looks(found) and not isinstance(tree, pg.NotifyStmt) else ""
    if _with_is_no_question(tree):
        return ""
    match tree:
        case pg.UpdateStmt():
            return _of_update(tree)
        case pg.DeleteStmt():
            if _left_to_chance([tree.where_clause, *tree.using_clause]):
                return ""
            return query([table_node(tree.relation), *tree.using_clause], tree.where_clause, tree.with_clause)
        case pg.InsertStmt():
            return _of_insert(tree)
        case pg.TruncateStmt():
            return _of_truncate(tree)
    return ""


def _with_is_no_question(tree: Message) -> bool:
    """Whether its WITH writes, too, which a probe made of it would do, or answers otherwise another time."""
    with_clause = getattr(tree, "with_clause", None)
    return with_clause is not None and (bool(mentions(with_clause).writes) or _left_to_chance([with_clause]))


def _of_update(tree: pg.UpdateStmt) -> str:
    condition = pg.Node()
    condition.CopyFrom(tree.where_clause)
    if _left_to_chance([condition, *tree.from_clause]):
        return ""
    differs = _differs(tree)
    if differs is not None:
        parts = [condition, differs] if condition.WhichOneof("node") else [differs]
        condition = both(parts)
    text = query([table_node(tree.relation), *tree.from_clause], condition, tree.with_clause)
    marker = f'"{_LISTENS}"'
    return text.replace(marker, _something_listens(tree.relation)) if text.count(marker) < 2 else ""


def _differs(tree: pg.UpdateStmt) -> pg.Node | None:
    """That a column is not yet what it would be set to, or that a trigger might care; None where that cannot be told.

    Compared as text: `citext` and numbers may be equal and yet not the same, and `json` has no equality.
    """
    table = tree.relation
    name = table.alias.aliasname or table.relname
    unequal = []
    for target in tree.target_list:
        column, value = target.res_target, target.res_target.val
        if column.indirection or value.HasField("multi_assign_ref") or not _computes(value):
            return None
        fields = [string(name), string(column.name)]
        left = as_text(pg.Node(column_ref=pg.ColumnRef(fields=fields)))
        comparison = pg.A_Expr(kind=pg.AEXPR_DISTINCT, name=[string("=")], lexpr=left, rexpr=as_text(value))
        unequal.append(pg.Node(a_expr=comparison))
    return either([*unequal, pg.Node(column_ref=pg.ColumnRef(fields=[string(_LISTENS)]))])


_LISTENS = "something listens"
"""Stands in the tree for the question below, which is the same for every table and long."""


def _something_listens(table: pg.RangeVar) -> str:
    """That the table is not a plain one, or has rules or triggers of its own for UPDATE: they may do anything."""
    literal = qualified(table).replace("'", "''")
    return (
        f"EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = '{literal}'::pg_catalog.regclass"
        " AND (c.relkind <> 'r' OR c.relhassubclass OR c.relhasrules OR EXISTS (SELECT FROM pg_catalog.pg_trigger t"
        " WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND (t.tgtype & 16) <> 0)))"
    )


def _of_insert(tree: pg.InsertStmt) -> str:
    source = tree.select_stmt.select_stmt
    conflict = tree.on_conflict_clause
    nothing = tree.HasField("on_conflict_clause") and conflict.action == pg.ONCONFLICT_NOTHING
    if nothing:
        return _of_rows_unless_there(tree, source)
    if not tree.HasField("select_stmt") or source.values_lists:
        return "" if conflict.HasField("where_clause") else ALWAYS
    if tree.HasField("on_conflict_clause") and conflict.HasField("where_clause"):
        return ""
    rows = _without_chance(source)
    if rows is None:
        return ""
    inner = pg.RangeSubselect(subquery=pg.Node(select_stmt=rows), alias=pg.Alias(aliasname="would_be"))
    return query([pg.Node(range_subselect=inner)], pg.Node(), tree.with_clause)


def _without_chance(source: pg.SelectStmt) -> pg.SelectStmt | None:
    """The SELECT with a constant for each column that is left to chance, if that gives as many rows."""
    rows = pg.SelectStmt()
    rows.CopyFrom(source)
    clear = pg.SelectStmt()
    clear.CopyFrom(source)
    clear.ClearField("target_list")
    if _left_to_chance([pg.Node(select_stmt=clear)]):
        return None
    for target in rows.target_list:
        if _left_to_chance([target]):
            if source.distinct_clause or source.group_clause or source.op != pg.SETOP_NONE:
                return None
            target.res_target.val.CopyFrom(number(1))
    return rows


def _of_rows_unless_there(tree: pg.InsertStmt, source: pg.SelectStmt) -> str:
    """For VALUES … ON CONFLICT (columns) DO NOTHING: whether a row is not there by these columns."""
    infer = tree.on_conflict_clause.infer
    keys = [element.index_elem.name for element in infer.index_elems]
    columns = [column.res_target.name for column in tree.cols]
    rows = [[*row.list.items] for row in source.values_lists]
    simple = keys and all(keys) and set(keys) <= set(columns) and 0 < len(rows) <= _MOST_ROWS
    if not simple or infer.HasField("where_clause") or tree.HasField("with_clause"):
        return ""
    absent = []
    for row in rows:
        values = dict(zip(columns, row, strict=False))
        wanted = [values[key] for key in keys if key in values]
        if len(wanted) < len(keys) or not all(_computes(value) and not mentions(value).functions for value in wanted):
            return ""
        absent.append(_absent(tree.relation, keys, wanted))
    return query([], either(absent), pg.WithClause())


def _absent(table: pg.RangeVar, keys: Sequence[str], values: Sequence[pg.Node]) -> pg.Node:
    equal = [
        pg.Node(
            a_expr=pg.A_Expr(
                kind=pg.AEXPR_OP,
                name=[string("=")],
                lexpr=pg.Node(column_ref=pg.ColumnRef(fields=[string(key)])),
                rexpr=value,
            )
        )
        for key, value in zip(keys, values, strict=True)
    ]
    plain = pg.RangeVar()
    plain.CopyFrom(table)
    plain.ClearField("alias")
    plain.inh = False  # ONLY: a unique index knows nothing of the tables that inherit
    inner = pg.SelectStmt(target_list=[one()], from_clause=[table_node(plain)], where_clause=both(equal))
    inner.limit_option, inner.op = pg.LIMIT_OPTION_DEFAULT, pg.SETOP_NONE
    there = pg.Node(sub_link=pg.SubLink(sub_link_type=pg.EXISTS_SUBLINK, subselect=pg.Node(select_stmt=inner)))
    return pg.Node(bool_expr=pg.BoolExpr(boolop=pg.NOT_EXPR, args=[there]))


def _of_truncate(tree: pg.TruncateStmt) -> str:
    """Whether there are rows. CASCADE reaches tables that are not named, RESTART IDENTITY more than rows."""
    if tree.restart_seqs or tree.behavior == pg.DROP_CASCADE:
        return ""
    queries = [query([relation], pg.Node(), pg.WithClause()) for relation in tree.relations]
    return queries[0] if len(queries) == 1 else " UNION ALL ".join(f"({each})" for each in queries)


def _left_to_chance(nodes: Iterable[Message]) -> bool:
    """Whether something in `nodes` may answer otherwise another time, or in another session."""
    return any(not mentions(node).functions <= PURE or any(map(_wavers, parts_of(node))) for node in nodes)


def _wavers(part: Message) -> bool:
    match part:
        case pg.SQLValueFunction() | pg.CurrentOfExpr() | pg.RangeTableSample():
            return True
        case pg.SelectStmt():  # which rows come first is nobody's promise
            return bool(part.HasField("limit_count") or part.HasField("limit_offset"))
        case pg.A_Const():
            return bool(part.sval.sval.strip().lower().startswith(_MOMENTS))
        case pg.RangeVar():
            return bool(part.relname.startswith("pg_")) and part.relname not in _COVERED
    return False


def _computes(expression: Message) -> bool:
    """Whether `expression` gives the same from the same rows: nothing in it but what is known to compute."""
    known = all(part.DESCRIPTOR.name in _COMPUTES for part in parts_of(expression))
    return known and not _left_to_chance([expression])
