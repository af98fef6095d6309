"""From a tree back to SQL, and proof that it says the same; and the making of small trees."""

from collections.abc import Iterator, Sequence
from typing import Any

import postgast
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from postgast import pg_query_pb2 as pg

_PLACES = frozenset({"location", "name_location", "rexpr_list_start", "rexpr_list_end", "list_start", "list_end"})
"""Fields that only say where something stood."""


def sql_of(**statement: Message) -> str:
    """The SQL of one statement, given as `select_stmt=…`; empty if it cannot be written down faithfully.

    What is written is parsed again and must give the same tree: an expression that came out otherwise would be a
    wrong answer that looks like a right one.
    """
    node = pg.Node(**statement)
    try:
        text: str = postgast.deparse(pg.ParseResult(stmts=[pg.RawStmt(stmt=node)]))
        again = postgast.parse(text).stmts
    except (postgast.PgQueryError, DecodeError):
        return ""
    if len(again) != 1 or not _same(again[0].stmt, node):
        return ""
    return text


def _same(one: Message, other: Message) -> bool:
    """Whether two trees say the same, wherever their parts stood."""
    mine, its = _fields(one), _fields(other)
    if len(mine) != len(its):
        return False
    for (descriptor, value), (its_descriptor, its_value) in zip(mine, its, strict=True):
        if descriptor.number != its_descriptor.number:
            return False
        if descriptor.message_type is None:
            equal = value == its_value
        elif isinstance(value, Message):
            equal = _same(value, its_value)
        else:
            equal = len(value) == len(its_value) and all(map(_same, value, its_value))
        if not equal:
            return False
    return True


def _fields(node: Message) -> list[tuple[FieldDescriptor, Any]]:
    return [pair for pair in node.ListFields() if pair[0].name not in _PLACES]


def parts_of(node: Message) -> Iterator[Message]:
    """`node` and everything in it."""
    yield node
    for descriptor, value in node.ListFields():
        if isinstance(value, Message):
            yield from parts_of(value)
        elif descriptor.message_type is not None:
            for item in value:
                yield from parts_of(item)


def string(text: str) -> pg.Node:
    """A name, or a part of one."""
    return pg.Node(string=pg.String(sval=text))


def number(value: int) -> pg.Node:
    """A constant."""
    return pg.Node(a_const=pg.A_Const(ival=pg.Integer(ival=value)))


def one() -> pg.Node:
    """The column `1`."""
    return pg.Node(res_target=pg.ResTarget(val=number(1)))


def table_node(table: pg.RangeVar) -> pg.Node:
    """A table, in FROM."""
    return pg.Node(range_var=table)


def as_text(value: pg.Node) -> pg.Node:
    """`value::text`."""
    return pg.Node(type_cast=pg.TypeCast(arg=value, type_name=pg.TypeName(names=[string("text")], typemod=-1)))


def both(conditions: Sequence[pg.Node]) -> pg.Node:
    """All of them. An AND inside an AND is one list, as the grammar makes it."""
    flat: list[pg.Node] = []
    for condition in conditions:
        inner = condition.bool_expr
        flat.extend(inner.args if inner.boolop == pg.AND_EXPR else [condition])
    return flat[0] if len(flat) == 1 else pg.Node(bool_expr=pg.BoolExpr(boolop=pg.AND_EXPR, args=flat))


def either(conditions: Sequence[pg.Node]) -> pg.Node:
    """At least one of them."""
    several = pg.BoolExpr(boolop=pg.OR_EXPR, args=conditions)
    return conditions[0] if len(conditions) == 1 else pg.Node(bool_expr=several)


def query(tables: Sequence[pg.Node], condition: pg.Node, with_clause: pg.WithClause) -> str:
    """`WITH … SELECT 1 FROM tables WHERE condition LIMIT 1`; empty parts are left out."""
    select = pg.SelectStmt(target_list=[one()], from_clause=tables, limit_count=number(1))
    select.limit_option, select.op = pg.LIMIT_OPTION_COUNT, pg.SETOP_NONE
    if condition.WhichOneof("node"):
        select.where_clause.CopyFrom(condition)
    if with_clause.ctes:
        select.with_clause.CopyFrom(with_clause)
    return sql_of(select_stmt=select)
