"""The way back from a statement that gave something a new name or another schema: the same statement, turned round."""

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg

from tasks.migrations.parse_tree import sql_of

_OF_A_RELATION = frozenset(
    {
        *(pg.OBJECT_TABLE, pg.OBJECT_INDEX, pg.OBJECT_SEQUENCE, pg.OBJECT_VIEW, pg.OBJECT_MATVIEW),
        pg.OBJECT_FOREIGN_TABLE,
    }
)
_OF_A_PART = frozenset(
    {
        *(pg.OBJECT_COLUMN, pg.OBJECT_TABCONSTRAINT, pg.OBJECT_DOMCONSTRAINT, pg.OBJECT_TRIGGER, pg.OBJECT_POLICY),
        *(pg.OBJECT_RULE, pg.OBJECT_ATTRIBUTE, pg.OBJECT_SCHEMA, pg.OBJECT_ROLE, pg.OBJECT_DATABASE),
        pg.OBJECT_TABLESPACE,
    }
)


def way_back(tree: Message) -> str:
    """The SQL that takes the renaming back; empty if it is no renaming, or if its text does not say where from
    (`ALTER TABLE nodes SET SCHEMA app`).

    Names that were not qualified are not here either: whoever runs it needs the search path of the file.
    """
    match tree:
        case pg.RenameStmt():
            return sql_of(rename_stmt=_renamed_back(tree))
        case pg.AlterEnumStmt() if tree.old_val:
            back = pg.AlterEnumStmt()
            back.CopyFrom(tree)
            back.old_val, back.new_val = tree.new_val, tree.old_val
            return sql_of(alter_enum_stmt=back)
        case pg.AlterObjectSchemaStmt():
            moved = _moved_back(tree)
            return sql_of(alter_object_schema_stmt=moved) if moved else ""
    return ""


def _renamed_back(tree: pg.RenameStmt) -> pg.RenameStmt:
    back = pg.RenameStmt()
    back.CopyFrom(tree)
    if tree.rename_type in _OF_A_RELATION:
        back.relation.relname, back.newname = tree.newname, tree.relation.relname
    elif tree.rename_type in _OF_A_PART:
        back.subname, back.newname = tree.newname, tree.subname
    else:
        name = _last_name(back.object)
        back.newname, name.sval = name.sval, tree.newname
    return back


def _moved_back(tree: pg.AlterObjectSchemaStmt) -> pg.AlterObjectSchemaStmt | None:
    back = pg.AlterObjectSchemaStmt()
    back.CopyFrom(tree)
    if tree.HasField("relation"):
        if not tree.relation.schemaname:
            return None
        back.relation.schemaname, back.newschema = tree.newschema, tree.relation.schemaname
        return back
    parts = back.object.object_with_args.objname or back.object.list.items
    if len(parts) < 2:
        return None
    schema = parts[-2].string
    schema.sval, back.newschema = tree.newschema, schema.sval
    return back


def _last_name(node: pg.Node) -> pg.String:
    match node.WhichOneof("node"):
        case "object_with_args":
            return node.object_with_args.objname[-1].string
        case "list":
            return node.list.items[-1].string
        case "type_name":
            return node.type_name.names[-1].string
    return node.string


_ASIDE = "_runbook_aside"


def aside(back: str) -> str:
    """SQL that gives another name to what stands where `back`, a way back made here, would put something; empty if
    there is none. What stands there came with the migration, and is dropped later.
    """
    tree = postgast.parse(back).stmts[0].stmt.rename_stmt
    if not tree.newname:
        return ""
    occupied, other = tree.newname, tree.newname.encode()[: 63 - len(_ASIDE)].decode(errors="ignore") + _ASIDE
    if tree.rename_type in _OF_A_RELATION:
        tree.rename_type = pg.OBJECT_TABLE  # which it may be: indexes, views and tables share their names
        tree.relation.relname = occupied
    elif tree.rename_type in _OF_A_PART:
        tree.subname = occupied
    else:
        _last_name(tree.object).sval = occupied
    tree.newname = other
    return sql_of(rename_stmt=tree)


def local_setting(text: str) -> str:
    """`SET search_path …` for one transaction; empty if `text` sets something else."""
    tree = postgast.parse(text).stmts[0].stmt.variable_set_stmt
    if tree.name != "search_path":
        return ""
    if tree.kind != pg.VAR_SET_VALUE:
        return "SET LOCAL search_path TO DEFAULT"
    tree.is_local = True
    return sql_of(variable_set_stmt=tree)
