"""More statements for random migrations: triggers, policies, types, comments, partitions, rows, blocks, and no-ops."""

from tests.order.random_statements import (
    Make,
    Pick,
    Step,
    World,
    add_column,
    add_constraint,
    alter_column,
    change_constraint,
    change_function,
    change_view,
    concurrently,
    create_function,
    create_index,
    create_table,
    create_view,
    drop_column,
    drop_index,
    drop_table,
    rename_column,
    rename_index,
    rename_table,
    table_as,
    table_option,
)


def trigger(world: World, pick: Pick) -> Step | None:
    table = pick.one(world.tables)
    if (found := pick.hanging(world, "trigger")) and pick.one((True, False)):
        world.hangs.remove(("trigger", *found))
        back = f"CREATE TRIGGER {found[1]} BEFORE INSERT ON {found[0]} FOR EACH ROW EXECUTE FUNCTION app.touch()"
        return Step("drop trigger", f"DROP TRIGGER {found[1]} ON {found[0]}", back)
    name = world.new("trg")
    world.hangs.append(("trigger", table, name))
    when = pick.one(("BEFORE INSERT OR UPDATE", "AFTER DELETE", "BEFORE UPDATE"))
    up = f"CREATE TRIGGER {name} {when} ON {table} FOR EACH ROW EXECUTE FUNCTION app.touch()"
    return Step("create trigger", up, f"DROP TRIGGER {name} ON {table}")


def policy(world: World, pick: Pick) -> Step | None:
    if (found := pick.hanging(world, "policy")) and pick.one((True, False)):
        head = f"ALTER POLICY {found[1]} ON {found[0]} USING"
        return Step("alter policy", f"{head} (id > 5)", f"{head} (id > 0)")
    table, name = pick.one(world.tables), world.new("p")
    world.hangs.append(("policy", table, name))
    return Step("create policy", f"CREATE POLICY {name} ON {table} USING (id > 0)", f"DROP POLICY {name} ON {table}")


def enum(world: World, pick: Pick) -> Step | None:
    found = pick.hanging(world, "enum")
    way = pick.one(("create", "add", "rename", "rename type")) if found else "create"
    if not found or way == "create":
        name = f"app.{world.new('e')}"
        world.hangs.append(("enum", "", name))
        return Step("create enum", f"CREATE TYPE {name} AS ENUM ('a', 'b')", f"DROP TYPE {name}")
    name, value = found[1], world.new("l")
    if way == "add":
        words = pick.one(("", "IF NOT EXISTS "))
        return Step("add value", f"ALTER TYPE {name} ADD VALUE {words}'{value}'", "SELECT 1")
    if way == "rename":
        head = f"ALTER TYPE {name} RENAME VALUE"
        return Step("rename value", f"{head} 'a' TO '{value}'", f"{head} '{value}' TO 'a'")
    other = world.new("re")
    world.hangs[world.hangs.index(("enum", *found))] = ("enum", "", f"app.{other}")
    back = name.removeprefix("app.")
    return Step("rename type", f"ALTER TYPE {name} RENAME TO {other}", f"ALTER TYPE app.{other} RENAME TO {back}")


def standing_alone(world: World, pick: Pick) -> Step | None:
    ways = (
        ("DOMAIN", "AS integer DEFAULT 3 CHECK (VALUE > 0)"),
        ("SEQUENCE", "INCREMENT 5 CACHE 2"),
        ("TYPE", "AS (x integer, y text)"),
        ("TYPE", "AS RANGE (SUBTYPE = integer)"),
        ("SCHEMA", ""),
        ("AGGREGATE", "(integer) (SFUNC = int4pl, STYPE = integer)"),
    )
    word, what = pick.one(ways)
    name = world.new("zones") if word == "SCHEMA" else f"app.{world.new('d')}"
    argument = "(integer)" if word == "AGGREGATE" else ""
    return Step(f"create {word.lower()}", f"CREATE {word} {name} {what}", f"DROP {word} {name}{argument}")


def alter_sequence(world: World, pick: Pick) -> Step | None:
    up = pick.one(("INCREMENT 7", "MAXVALUE 900", "CYCLE", "AS integer"))
    return Step("alter sequence", f"ALTER SEQUENCE app.counter {up}", "SELECT 1", unseen=True)


def comment(world: World, pick: Pick) -> Step | None:
    table = pick.one(world.tables)
    what = pick.one((f"TABLE {table}", f"COLUMN {table}.id", "SCHEMA app", "FUNCTION app.touch()"))
    text = pick.one(("'größer; süß'", "'it''s'", "E'x\\ny'"))
    return Step("comment", f"COMMENT ON {what} IS {text}", f"COMMENT ON {what} IS NULL", unseen=True)


def grant(world: World, pick: Pick) -> Step | None:
    table = pick.one(world.tables)
    right = pick.one(("SELECT", "INSERT, UPDATE", "ALL"))
    return Step("grant", f"GRANT {right} ON {table} TO PUBLIC", f"REVOKE ALL ON {table} FROM PUBLIC", unseen=True)


def partition(world: World, pick: Pick) -> Step | None:
    number, name = world.made + 10, f"app.{world.new('part')}"
    bound = f"FOR VALUES FROM ({number}0) TO ({number}9)"
    if (found := pick.hanging(world, "partition")) and pick.one((True, False)):
        world.hangs.remove(("partition", *found))
        back = f"ALTER TABLE app.events ATTACH PARTITION {found[1]} {found[0]}"
        return Step("detach partition", f"ALTER TABLE app.events DETACH PARTITION {found[1]}", back)
    world.hangs.append(("partition", bound, name))
    return Step("create partition", f"CREATE TABLE {name} PARTITION OF app.events {bound}", f"DROP TABLE {name}")


def statistics(world: World, pick: Pick) -> Step | None:
    name = f"app.{world.new('st')}"
    return Step("statistics", f"CREATE STATISTICS {name} ON id, mail FROM app.users", f"DROP STATISTICS {name}")


def temporary(world: World, pick: Pick) -> Step | None:
    name = world.new("tmp")
    end = pick.one(("ON COMMIT DROP", ""))
    up = f"CREATE TEMP TABLE {name} {end} AS SELECT id FROM app.users"
    return Step("temp table", up, f"DROP TABLE IF EXISTS {name}", unseen=True)


def rows(world: World, pick: Pick) -> Step | None:
    table, number = pick.one(world.tables), world.made + 500
    world.made += 1
    delete = f"DELETE FROM {table} WHERE id = {number}"
    ways = (
        (f"INSERT INTO {table} (id) VALUES ({number})", delete),
        (f"INSERT INTO {table} (id) SELECT {number} WHERE EXISTS (SELECT FROM app.users)", delete),
        (f"INSERT INTO {table} (id) VALUES (1) ON CONFLICT DO NOTHING", "SELECT 1"),
        (f"UPDATE {table} SET id = id + 1000 WHERE id = 2", f"UPDATE {table} SET id = 2 WHERE id = 1002"),
        ("UPDATE app.users SET note = 'seen' WHERE note IS NULL", "UPDATE app.users SET note = NULL"),
        ("UPDATE app.users SET age = coalesce(age, 0) + 1", "UPDATE app.users SET age = age - 1"),
        ("UPDATE app.users SET name = 'x' WHERE id = 77777", "SELECT 1"),
        ("DELETE FROM app.users WHERE id = 3", "INSERT INTO app.users (id, name) VALUES (3, 'c')"),
        ("TRUNCATE app.events", "SELECT 1"),
        # fails on an empty database: nobody is 1 there
        ("INSERT INTO app.logins (id, user_id) VALUES (9, 1)", "DELETE FROM app.logins WHERE id = 9"),
    )
    up, down = pick.one(ways)
    return Step("rows", up, down, "rows", unseen=True)


_LOOP = """DO $x$ DECLARE r int; BEGIN FOR r IN SELECT id FROM app.users
LOOP UPDATE app.users SET note = r || note WHERE id = r; END LOOP; END $x$"""


def block(world: World, pick: Pick) -> Step | None:
    name = world.new("dyn")
    ways = (
        (f"DO $$ BEGIN EXECUTE 'CREATE TABLE app.{name} (id int)'; END $$", f"DROP TABLE IF EXISTS app.{name}"),
        (_LOOP, "SELECT 1"),
        (f"DO $$ BEGIN IF (SELECT count(*) FROM app.users) > 1 THEN CREATE TABLE app.{name} (); END IF; END $$",
         f"DROP TABLE IF EXISTS app.{name}"),
        ("DO $$ BEGIN IF NOT EXISTS (SELECT FROM app.users) THEN RAISE 'nobody'; END IF; END $$", "SELECT 1"),
        ("DO $$ BEGIN IF EXISTS (SELECT FROM app.users WHERE age IS NULL) THEN RAISE 'no age'; END IF; END $$",
         "SELECT 1"),
        ("DO $$ BEGIN PERFORM 1; END $$", "DO $$ BEGIN NULL; END $$"),
        (f"DO $$ BEGIN CREATE TYPE app.{name} AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$",
         f"DROP TYPE IF EXISTS app.{name}"),
    )  # fmt: skip
    up, down = pick.one(ways)
    return Step("block", up, down, "block", unseen=True)


def nothing(world: World, pick: Pick) -> Step | None:
    table = pick.one(world.tables)
    ways = (
        f"CREATE TABLE IF NOT EXISTS {table} (id bigint)",
        f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS id bigint",
        "DROP TABLE IF EXISTS app.never_there",
        "CREATE SCHEMA IF NOT EXISTS app",
        "DROP VIEW IF EXISTS app.no_view CASCADE",
        f"ALTER TABLE {table} ALTER COLUMN id SET NOT NULL",
        "ALTER TABLE IF EXISTS app.never_there RENAME TO still_not",
    )
    return Step("no-op", pick.one(ways), "SELECT 1", unseen=True)


def only_data(world: World, pick: Pick) -> Step | None:
    """Definitions that change what is in a table and leave every object as it was."""
    ways = (
        "REFRESH MATERIALIZED VIEW app.totals",
        "ALTER TABLE app.users ALTER COLUMN note TYPE text USING upper(note)",
        "ALTER TABLE app.users DROP COLUMN note, ADD COLUMN note text",
        "ALTER SEQUENCE app.counter RESTART WITH 77",
        "DO $$ BEGIN DROP TABLE IF EXISTS app.scrap; CREATE TABLE app.scrap (id bigint); END $$",
    )
    return Step("only data", pick.one(ways), "SELECT 1", unseen=True)


def elsewhere(world: World, pick: Pick) -> Step | None:
    """Rows of a table that is another one without the search path."""
    ways = ("UPDATE users SET name = 'q' WHERE name IS NOT NULL", "DELETE FROM users WHERE id = 2",
            "INSERT INTO users (id) SELECT id + 50 FROM users WHERE id < 50")  # fmt: skip
    return Step("rows of one of two", pick.one(ways), "SELECT 1", "rows", unseen=True)


def setting(world: World, pick: Pick) -> Step | None:
    ways = ("SET lock_timeout = '5s'", "SET LOCAL statement_timeout = '20s'", "SET search_path TO app, public",
            "SET CONSTRAINTS ALL IMMEDIATE", "SELECT set_config('app.x', '1', false)")  # fmt: skip
    return Step("setting", pick.one(ways), "RESET lock_timeout", "setting", unseen=True)


def query(world: World, pick: Pick) -> Step | None:
    ways = ("SELECT count(*) FROM app.users", "SELECT 1", "TABLE app.users",
            # divides by zero where two have mail
            "SELECT 1 / (2 - count(*)) FROM app.users WHERE mail IS NOT NULL",
            "SELECT name::integer FROM app.users")  # fmt: skip
    up = pick.one(ways)
    return Step("query", up, "SELECT 1", "query", unseen=True)


KINDS: tuple[Make, ...] = (
    add_column, add_column, add_column, drop_column, alter_column, alter_column, rename_column, create_table,
    create_table, table_as, drop_table, rename_table, table_option, create_index, create_index, drop_index,
    rename_index, concurrently, only_data, only_data, elsewhere, add_constraint, add_constraint, change_constraint,
    create_view, create_view, change_view, create_function, change_function, trigger, policy, enum, standing_alone,
    alter_sequence, comment, grant, partition, statistics, temporary, rows, rows, rows, rows, block, block, nothing,
    nothing, setting, query,
)  # fmt: skip
"""What a migration is made of; the more often one is named, the more of it there is."""
