"""Random migrations that fail somewhere: what was deployed, how it was run, where it stopped, and what came after."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.order.random_statements import Pick, Step, World
from tests.order.random_statements_more import KINDS

BASE = (
    """CREATE SCHEMA app;
CREATE TABLE app.users (id bigint PRIMARY KEY, name text, mail text, age integer, note text);
CREATE TABLE public.users (id bigint, name text);
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$;
""",
    """-- Anmeldungen, größer
CREATE TABLE app.logins (id bigint PRIMARY KEY, user_id bigint REFERENCES app.users (id), at timestamptz, kind text);
CREATE INDEX logins_kind ON app.logins (kind);
CREATE TABLE app.events (id bigint NOT NULL, what text) PARTITION BY RANGE (id);
CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM (0) TO (100);
CREATE SEQUENCE app.counter;
CREATE TABLE app.scrap (id bigint);
""",
    """BEGIN;
CREATE TABLE app."Orders" (id bigint PRIMARY KEY, total numeric(10, 2) DEFAULT 0, state text NOT NULL DEFAULT 'new');
CREATE TYPE app.state AS ENUM ('a', 'b');
CREATE VIEW app.named AS SELECT id, name FROM app.users;
COMMIT;
""",
    """CREATE TRIGGER touch BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch();
ALTER TABLE app.logins ADD CONSTRAINT logins_positive CHECK (id > 0);
CREATE POLICY own ON app.logins USING (id > 0);
""",
    """ALTER TABLE app.users ADD COLUMN zone text;
CREATE INDEX users_zone ON app.users (zone) WHERE zone IS NOT NULL;
UPDATE app.users SET zone = 'eu' WHERE zone IS NULL;
""",
    """CREATE MATERIALIZED VIEW app.totals AS SELECT state, sum(total) AS total FROM app."Orders" GROUP BY state;
COMMENT ON TABLE app.users IS 'Leute; überall';
CREATE FUNCTION app.twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
""",
)
"""The earlier versions, 1 to 6."""

ROWS = """
INSERT INTO app.users (id, name, mail) VALUES (1, 'a', 'x@y'), (2, 'b', 'x@y'), (3, 'c', NULL);
UPDATE app.users SET note = 'kept' WHERE id = 1;
INSERT INTO app.scrap VALUES (7);
INSERT INTO app.logins (id, user_id, kind) VALUES (1, 1, 'web'), (2, NULL, 'web');
INSERT INTO app.events VALUES (1, 'start'), (2, 'stop');
INSERT INTO app."Orders" (id) VALUES (1), (2), (3);
"""
"""For the first three; what `app.totals` shows is older than the last order."""

MARKER = "public.zz_marker"


def world_after(versions: int) -> World:
    """What the first `versions` leave, as far as random statements may be about it."""
    world = World({"app.users": {"age": "integer"}, "app.logins": {"at": "timestamptz", "kind": "text"}})
    world.hangs = [("index", "app.logins", "app.logins_kind")]
    world.hangs += [("partition", "FOR VALUES FROM (0) TO (100)", "app.events_1")]
    world.tables['app."Orders"'] = {"total": "numeric(10, 2)"}
    world.hangs += [("enum", "", "app.state"), ("view", "app.users", "app.named")]
    if versions > 3:
        world.hangs += [
            ("constraint", "app.logins", "logins_positive"),
            ("policy", "app.logins", "own"),
            ("trigger", "app.users", "touch"),
        ]
    if versions > 4:
        world.tables["app.users"]["zone"] = "text"
        world.hangs.append(("index", "app.users", "app.users_zone"))
    return world


@dataclass(frozen=True)
class Text:
    """One file. `lines` are its statements, each with what stands before it; `free` are numbers of those that only
    control or set something, from 1; `dark` of those that may leave nothing to be seen. `alone`: its one statement
    cannot run in a transaction.
    """

    lines: tuple[str, ...]
    free: frozenset[int] = frozenset()
    dark: frozenset[int] = frozenset()
    alone: bool = False

    def __str__(self) -> str:
        return "".join(f"{line};\n" for line in self.lines)

    def marked(self, fails_after: int | None) -> str:
        """The same with a row for each statement that ran; divides by zero after `fails_after` statements."""
        marks = [f"INSERT INTO {MARKER} VALUES ({number})" for number in range(1, len(self.lines) + 1)]
        pairs = zip(self.lines, marks, strict=True)
        parts = [""] if fails_after != 0 else ["SELECT 1/0;\n"]
        for number, (line, mark) in enumerate(pairs, 1):
            parts.append(f"{line};\n{mark};\n")
            if number == fails_after:
                parts.append("SELECT 1/0;\n")
        return "".join(parts)


@dataclass(frozen=True)
class Story:
    """What happened. `base` earlier versions; then a version, and perhaps one after it with its down.

    `down`: the down of the last one ran, else the up of the first. `stops` is after how many statements something
    fails, None: only where the file does so by itself, and if it does not, the client is killed after it. `by_hand` is
    a statement that somebody ran afterwards; `drift` a table to which somebody had added a column and an index before,
    or, if `late`, afterwards. `told_…` say what the runbook is told.
    """

    base: int
    up: Text
    next: tuple[Text, Text] | None
    down: bool
    multi: bool
    stops: int | None
    by_hand: str
    drift: str
    late: bool
    told_multi: bool
    told_direction: bool

    @property
    def failing(self) -> Text:
        """The file that failed."""
        return self.next[1] if self.down and self.next else self.up

    @property
    def files(self) -> dict[str, str]:
        """All files by name, as they were deployed."""
        made = {f"{number:03}_base.up.sql": text for number, text in enumerate(BASE[: self.base], 1)}
        made[f"{self.base + 1:03}_it.up.sql"] = str(self.up)
        if self.next:
            made[f"{self.base + 2:03}_next.up.sql"] = str(self.next[0])
            made[f"{self.base + 2:03}_next.down.sql"] = str(self.next[1])
        return made

    @property
    def plain(self) -> bool:
        """A decision must come: definitions that can be seen, nobody meddled, and all is told that can be."""
        told = self.told_multi and (self.told_direction or self.next is None)
        texts = (self.up, *(self.next or ()))
        return not any(text.dark for text in texts) and told and not self.by_hand and not self.drift

    @property
    def shape(self) -> str:
        """For counting."""
        control = any(line.endswith(("BEGIN", "COMMIT")) for line in self.failing.lines)
        way = ("multi " if self.multi else "") + ("split " if control else "implicit ")
        meddled = " by hand" if self.by_hand else " drift" if self.drift else ""
        told = ("" if self.told_multi else ", mode unknown") + (
            ", direction unknown" if self.next and not self.told_direction else ""
        )
        return f"{way}{'down' if self.down else 'up'}{meddled}{told}"

    def __repr__(self) -> str:
        how = f"stops after {self.stops}, multi {self.multi}, {self.shape}"
        after = f"\n-- by hand: {self.by_hand}" if self.by_hand else f"\n-- drift on {self.drift}" if self.drift else ""
        texts = [f"-- {name}\n{text}" for name, text in self.files.items() if "_base" not in name]
        return f"after {self.base} versions; {how}{after}\n" + "\n".join(texts)


def text_with(*lines: str) -> Text:
    """A file of these statements."""
    free = {number for number, line in enumerate(lines, 1) if line in ("BEGIN", "COMMIT") or line.startswith("SET ")}
    return Text(lines, frozenset(free), alone=len(lines) == 1 and "CONCURRENTLY" in lines[0])


def story_with(
    *lines: str, stops: int | None, multi: bool = False, following: tuple[Text, Text] | None = None
) -> Story:
    """The up of these statements fails, or the down of the version that follows; all that can be told is told."""
    down = following is not None
    return Story(6, text_with(*lines), following, down, multi, stops, "", "", late=False, told_multi=True,
                 told_direction=True)  # fmt: skip


COMMENTS = ("", "", "", "-- größer, süßer\n", "/* zwei\nZeilen: é */ ", "\n\n-- weiter\n")


def text_of(pick: Pick, statements: Sequence[tuple[str, Step]], *, ends: bool = False) -> Text:
    """A file of these statements, with transactions of its own or without; one may stay open unless it `ends`."""
    shape = pick.one(("implicit", "split", "split", "each", "each", "one", "split" if ends else "open"))
    lines, free, dark, inside = list[str](), set[int](), set[int](), False

    def control(word: str) -> None:
        lines.append(word)
        free.add(len(lines))

    for place, (statement, step) in enumerate(statements):
        begins = {"one": place == 0, "each": True, "implicit": False}
        if not inside and begins.get(shape, pick.often()):
            control("BEGIN")
            inside = True
        lines.append(pick.one(COMMENTS) + statement)
        if step.kind == "setting":
            free.add(len(lines))
        if step.unseen or step.alone:
            dark.add(len(lines))
        if inside and (shape == "each" or (shape in ("split", "open") and not pick.often(3))):
            control("COMMIT")
            inside = False
    if inside and shape == "open":
        dark.add(len(lines))
    elif inside:
        control("COMMIT")
    alone = len(lines) == 1 and statements[0][1].alone
    return Text(tuple(lines), frozenset(free), frozenset(dark), alone)


def tell(pick: Pick) -> Story:
    """Everything that may happen."""
    base = 3 + pick.below(4)
    world = world_after(base)
    first, second = _steps(pick, world, 6), _steps(pick, world, 4)
    shown = pick.one(("up", "up", "up, next", "down", "down"))
    down, multi = shown == "down", pick.often()
    up = text_of(pick, [(step.up, step) for step in first], ends=down)
    following = None
    if shown != "up":
        back = [(step.down, step) for step in reversed(second)]
        following = (text_of(pick, [(step.up, step) for step in second], ends=down), text_of(pick, back))
    failing = following[1] if down and following else up
    stops = pick.below(len(failing.lines) + 1) if pick.often(4) else None
    if failing.dark and pick.often(3):  # just before or after what cannot be seen: there it is easy to be wrong
        stops = pick.one(sorted(failing.dark)) - pick.below(2)
    meddles = pick.one(("", "", "", "", "hand", "drift"))
    by_hand = pick.one(failing.lines) if meddles == "hand" else ""
    drift = pick.one(sorted(world_after(base).tables)) if meddles == "drift" else ""
    late, *told = pick.often(), pick.often(5), pick.often(4)
    return Story(base, up, following, down, multi, stops, by_hand, drift, late, *told)


def _steps(pick: Pick, world: World, most: int) -> list[Step]:
    """Some statements, one after the other; one that must be alone mostly is."""
    found = list[Step]()
    for _ in range(1 + pick.below(most)):
        if (step := pick.one(KINDS)(world, pick)) is not None:
            if step.alone and pick.often():
                return [step]
            found.append(step)
    return found or [Step("query", "SELECT 1", "SELECT 1", "query", unseen=True)]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Any story."""
    return tell(Pick(lambda size: draw(st.integers(0, size - 1))))
