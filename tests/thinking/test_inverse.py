"""The way back from one catalog to another, on catalogs that are written here: what comes out, word for word."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.migrations.catalog import Catalog, Key, changed
from runbooks.migrations.inverse import WayBack, inverse
from runbooks.migrations.inverse_names import mentioned, ordered, parts

T = "app.nodes"


def key(text: str) -> Key:
    """`table app.nodes`, or with what it hangs on: `column app.nodes / state`."""
    words, _, name = text.partition(" / ")
    kind, _, first = words.rpartition(" ") if '"' not in words else words.partition(" ")
    return Key(kind, first, name) if name else Key(kind, "", first)


STAYS = {
    "schema app": "",
    f"table {T}": "",
    f"column {T} / id": "bigint",
    f"column {T} / state": "text",
    f"column not null {T} / id": "",
    f"column default {T} / state": "'new'::text",
    f"constraint {T} / nodes_pkey": "PRIMARY KEY (id)",
    f"index {T} / app.nodes_state": "CREATE INDEX nodes_state ON app.nodes USING btree (state)",
    f"comment TABLE / {T}": "ours",
    f"owner TABLE / {T}": "hood",
    f"privileges TABLE / {T}": "hood=arwdDxtm/hood, reader=r/hood",
    "function app.f()": "CREATE OR REPLACE FUNCTION app.f()\n RETURNS integer\n LANGUAGE sql\nAS $$SELECT 1$$",
    "enum app.mood": '["sad", "ok"]',
}
GONE = "gone"


@dataclass(frozen=True)
class Case:
    """What the migration left otherwise than it was (GONE: not there any more), and what comes out."""

    left: dict[str, str]
    sql: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    sequences: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    before: dict[str, str] = field(default_factory=dict)


CASES = {
    "nothing": Case({}),
    "table and all that hangs on it": Case(
        {
            "table app.t": "",
            "column app.t / a": "integer",
            "constraint app.t / t_pkey": "PRIMARY KEY (a)",
            "index app.t / app.t_a": "CREATE INDEX t_a ON app.t USING btree (a)",
            "sequence app.t_a_seq": "AS integer INCREMENT BY 1",
            "sequence owner app.t_a_seq": "app.t.a",
            "owner TABLE / app.t": "hood",
            "owner SEQUENCE / app.t_a_seq": "hood",
            "comment COLUMN / app.t.a": "x",
            "trigger app.t / g": "CREATE TRIGGER g …",
            "comment TRIGGER / g on app.t": "x",
        },
        ("DROP TABLE app.t",),
        tables=("app.t",),
    ),
    "foreign keys before the tables that they lead to": Case(
        {"table app.b": "", "table app.a": "", f"constraint {T} / fk": "FOREIGN KEY (id) REFERENCES app.a(id)"},
        (f"ALTER TABLE {T} DROP CONSTRAINT fk", "DROP TABLE app.a, app.b"),
        tables=("app.a", "app.b"),
    ),
    "a sequence by which another table counts does not go unseen with its own": Case(
        {
            "table app.t": "",
            "column app.t / a": "integer",
            "sequence app.s": "AS integer INCREMENT BY 1",
            "sequence owner app.s": "app.t.a",
            f"column default {T} / id": "nextval('app.s'::regclass)",
        },
        (f"ALTER TABLE {T} ALTER COLUMN id DROP DEFAULT", "DROP TABLE app.t"),
        tables=("app.t",),
        sequences=("app.s",),
    ),
    "a sequence by itself": Case({"sequence app.s": "AS integer"}, ("DROP SEQUENCE app.s",), sequences=("app.s",)),
    "a column that counts": Case(
        {
            f"column {T} / n": "integer",
            "sequence app.s": "AS integer",
            "sequence owner app.s": f"{T}.n",
        },
        (f"ALTER TABLE {T} DROP COLUMN n",),
        columns=((T, "n"),),
        sequences=("app.s",),
    ),
    "a column that counts now": Case(
        {
            f"column identity {T} / id": "GENERATED ALWAYS AS IDENTITY",
            "sequence app.s": "AS integer",
            "sequence owner app.s": f"{T}.id",
        },
        (f"ALTER TABLE {T} ALTER COLUMN id DROP IDENTITY",),
        sequences=("app.s",),
    ),
    "a partition and a child that were there": Case(
        {"partition app.p / app.p1": "FOR VALUES IN (1)", f"inherits app.c / {T}": ""},
        ("ALTER TABLE app.p DETACH PARTITION app.p1", f"ALTER TABLE app.c NO INHERIT {T}"),
        detached=("app.c", "app.p1"),
        before={"table app.p": "PARTITION BY …", "table app.p1": "", "table app.c": ""},
    ),
    "a partition that has another place is given it back, which PostgreSQL checks": Case(
        {"partition app.p / app.p1": "FOR VALUES IN (1, 2)"},
        ("ALTER TABLE app.p DETACH PARTITION app.p1", "ALTER TABLE app.p ATTACH PARTITION app.p1 FOR VALUES IN (1)"),
        before={"table app.p": "PARTITION …", "table app.p1": "", "partition app.p / app.p1": "FOR VALUES IN (1)"},
    ),
    "a new partition only goes": Case(
        {"table app.p1": "", "partition app.p / app.p1": "FOR VALUES IN (1)"},
        ("DROP TABLE app.p1",),
        tables=("app.p1",),
        before={"table app.p": "PARTITION BY …"},
    ),
    "views, each before what it looks at": Case(
        {
            "view app.a": "CREATE VIEW app.a AS SELECT 1 FROM app.b",
            "view app.b": f"CREATE VIEW app.b AS SELECT 1 FROM app.c, {T}",
            "materialized view app.c": "CREATE MATERIALIZED VIEW app.c AS SELECT 1",
        },
        ("DROP VIEW app.a", "DROP VIEW app.b", "DROP MATERIALIZED VIEW app.c"),
    ),
    "columns, the computed first": Case(
        {
            f"column {T} / a": "integer",
            f"column {T} / b": "integer",
            f"column generated {T} / b": "GENERATED ALWAYS AS (a) STORED",
        },
        (f"ALTER TABLE {T} DROP COLUMN b", f"ALTER TABLE {T} DROP COLUMN a"),
        columns=((T, "a"),),
    ),
    "what a partition has from its parent is not dropped twice": Case(
        {"column app.p / c": "integer", "column app.p1 / c": "integer"},
        ("ALTER TABLE app.p DROP COLUMN c",),
        columns=(("app.p", "c"),),
        before={"table app.p": "PARTITION BY …", "table app.p1": "", "partition app.p / app.p1": "FOR VALUES …"},
    ),
    "index made again": Case({f"index {T} / app.nodes_state": GONE}, (STAYS[f"index {T} / app.nodes_state"],)),
    "index that became another": Case(
        {f"index {T} / app.nodes_state": "CREATE INDEX nodes_state ON app.nodes USING btree (id)"},
        ("DROP INDEX app.nodes_state", STAYS[f"index {T} / app.nodes_state"]),
    ),
    "invalid index": Case(
        {f"index {T} / app.i": "CREATE INDEX i …", f"index invalid {T} / app.i": "invalid"}, ("DROP INDEX app.i",)
    ),
    "function with the same head is replaced": Case(
        {"function app.f()": STAYS["function app.f()"].replace("SELECT 1", "SELECT 2")},
        ("SET LOCAL check_function_bodies = off", STAYS["function app.f()"]),
    ),
    "function with another head is made again, and all that hangs on it": Case(
        {"function app.f()": STAYS["function app.f()"].replace("integer", "text")},
        (
            "DROP ROUTINE app.f()",
            "SET LOCAL check_function_bodies = off",
            STAYS["function app.f()"],
            "ALTER FUNCTION app.f() OWNER TO hood",
            "COMMENT ON FUNCTION app.f() IS 'it''s one'",
        ),
        before={"comment FUNCTION / app.f()": "it's one", "owner FUNCTION / app.f()": "hood"},
    ),
    "properties of a column": Case(
        {
            f"column default {T} / state": "'old'::text",
            f"column not null {T} / state": "",
            f"column not null {T} / id": GONE,
            f"column statistics {T} / id": "100",
            f"column storage {T} / state": "EXTERNAL",
        },
        (
            f"ALTER TABLE {T} ALTER COLUMN state DROP NOT NULL",
            f"ALTER TABLE {T} ALTER COLUMN state SET DEFAULT 'new'::text",
            f"ALTER TABLE {T} ALTER COLUMN id SET NOT NULL",
            f"ALTER TABLE {T} ALTER COLUMN state SET STORAGE EXTENDED",
            f"ALTER TABLE {T} ALTER COLUMN id SET STATISTICS -1",
        ),
    ),
    "a default that rests on what is dropped goes first": Case(
        {f"column default {T} / state": "app.g()", "function app.g()": "CREATE OR REPLACE FUNCTION app.g()…"},
        (
            f"ALTER TABLE {T} ALTER COLUMN state DROP DEFAULT",
            "DROP ROUTINE app.g()",
            f"ALTER TABLE {T} ALTER COLUMN state SET DEFAULT 'new'::text",
        ),
    ),
    "comment, owner, privileges": Case(
        {
            f"comment TABLE / {T}": GONE,
            f"owner TABLE / {T}": "app",
            f"privileges TABLE / {T}": "app=arwdDxtm/app, other=r/app, reader=rw/app",
        },
        (
            f"ALTER TABLE {T} OWNER TO hood",
            f"REVOKE ALL ON TABLE {T} FROM other",
            f"REVOKE ALL ON TABLE {T} FROM reader",
            f"GRANT SELECT ON TABLE {T} TO reader",
            f"COMMENT ON TABLE {T} IS 'ours'",
        ),
    ),
    "privileges with grant option, and of a column": Case(
        {f"privileges TABLE / {T}": "hood=arwdDxtm/hood", f"privileges COLUMN / {T}.state": "reader=w*/hood"},
        (
            f"REVOKE ALL (state) ON {T} FROM reader",
            f"GRANT INSERT ON TABLE {T} TO reader",
            f"GRANT SELECT ON TABLE {T} TO reader WITH GRANT OPTION",
        ),
        before={f"privileges TABLE / {T}": "hood=arwdDxtm/hood, reader=ar*/hood"},
    ),
    "names that need quotes": Case(
        {'table "My App"."a.b"': ""}, ('DROP TABLE "My App"."a.b"',), tables=('"My App"."a.b"',)
    ),
    # refused
    "table gone": Case({f"{name}": GONE for name in STAYS if T in name}, refused=("data-gone",)),
    "column gone": Case({f"column {T} / state": GONE, f"column default {T} / state": GONE}, refused=("data-gone",)),
    "type of a column": Case({f"column {T} / state": "character varying(9)"}, refused=("lossy-cast",)),
    "enum value added": Case({"enum app.mood": '["sad", "soso", "ok"]'}, refused=("enum-value-added",)),
    "enum value gone": Case({"enum app.mood": '["ok"]'}, refused=("unknown-change",)),
    "enum values in another order": Case({"enum app.mood": '["ok", "sad", "x"]'}, refused=("unknown-change",)),
    "privileges that somebody else granted": Case(
        {f"privileges TABLE / {T}": "hood=arwdDxtm/hood, reader=r/other"}, refused=("unknown-change",)
    ),
    "a kind that nobody knows": Case({"wonder app.w": "x"}, refused=("unknown-change",)),
    "an index that became invalid": Case(
        {f"index invalid {T} / app.nodes_state": "invalid"}, refused=("unknown-change",)
    ),
}


def catalog(*parts_: dict[str, str]) -> Catalog:
    merged = {name: text for part in parts_ for name, text in part.items()}
    return {key(name): text for name, text in merged.items() if text != GONE}


def way_of(case: Case) -> WayBack:
    live, before = catalog(STAYS, case.before, case.left), catalog(STAYS, case.before)
    return inverse(live, before, changed(live, before))


@pytest.mark.parametrize("name", CASES)
def test_the_way_back(name: str) -> None:
    case = CASES[name]
    way = way_of(case)
    assert tuple(sorted({one.reference for one in way.refused})) == case.refused
    if not case.refused:
        assert way == WayBack(case.sql, (), case.tables, case.columns, case.sequences, case.detached)
    assert all(refusal.why and refusal.sql for refusal in way.refused)


def test_only_what_was_asked_for() -> None:
    live, before = catalog(STAYS, {"table app.a": "", "table app.b": ""}), catalog(STAYS)
    assert inverse(live, before, [Key("table", "", "app.a")]).sql == ("DROP TABLE app.a",)
    assert inverse(live, before, []) == WayBack(())


@given(st.lists(st.sampled_from(sorted(CASES)), max_size=5, unique=True))
def test_whatever_changes_nothing_is_dropped_with_more_and_nothing_is_silent(names: list[str]) -> None:
    cases = [CASES[name] for name in names]
    before = catalog(STAYS, *(case.before for case in cases))
    live = catalog(STAYS, *(case.before for case in cases), *(case.left for case in cases))
    way = inverse(live, before, changed(live, before))
    assert not any("CASCADE" in statement for statement in way.sql)
    assert bool(changed(live, before)) == bool(way.sql or way.refused)
    assert inverse(before, before, changed(live, before)) == WayBack(())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nextval('app.s'::regclass)", {"app", "app.s", "nextval", "regclass"}),
        ('SELECT "A b"."c.d".e', {"SELECT", '"A b"', '"A b"."c.d"', '"A b"."c.d".e'}),
        ("app.f(1.5)", {"app", "app.f"}),
    ],
)
def test_names_in_a_definition(text: str, names: set[str]) -> None:
    assert mentioned([text]) == names


def test_parts_of_a_name() -> None:
    assert parts('app."a.b"".c".d') == ["app", '"a.b"".c"', "d"]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3)))
def test_an_order_holds_everything_once_even_in_circles(needs: dict[str, list[str]]) -> None:
    order = ordered({name: (name,) for name in "abcdef"}, needs)
    assert sorted(order) == list("abcdef")
    if all(need < name for name, wanted in needs.items() for need in wanted):  # no circle
        assert all(order.index(need) < order.index(name) for name, wanted in needs.items() for need in wanted)
