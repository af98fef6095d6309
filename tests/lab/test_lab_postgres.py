"""The lab's PostgreSQL."""

from pathlib import Path

import psycopg
import pytest

from lab.postgres import Postgres
from lab.processes import processes_of


def test_it_keeps_what_was_written_over_a_stop_and_a_power_cut(tmp_path: Path) -> None:
    with Postgres(tmp_path) as postgres:
        url = postgres.create("runbooks")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS answer")
        for end in (postgres.stop, postgres.kill):
            end()
            assert processes_of(tmp_path) == {}
            postgres.start()
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT answer FROM kept").fetchone() == (1,)
    assert processes_of(tmp_path) == {}


def test_nobody_comes_in_without_the_password_and_nobody_can_read_it(tmp_path: Path) -> None:
    with Postgres(tmp_path) as postgres:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres.url().replace(postgres.password, "guess"))
        assert postgres.password not in " ".join(processes_of(tmp_path).values())
        assert postgres.password not in postgres.log.read_text()
        assert oct(postgres.data.stat().st_mode & 0o777) == "0o700"
