"""What `make bench` compares mending with: the files run by psycopg, and one `pg_dump --schema-only`."""

import os
import subprocess
import time

import psycopg
from psycopg import sql

from lab.bench_migrations_bed import Subject
from lab.postgres import Postgres
from lab.server import LabBroken


def replay_s(server: Postgres, subject: Subject) -> float:
    """How long the up files take in an empty database that is there already, seconds. Each goes as one query."""
    name = sql.Identifier("bench_bare")
    with psycopg.connect(server.url(), autocommit=True) as outside:
        outside.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        try:
            began = time.monotonic()
            files = sorted(subject.database.folder.glob("*.up.sql"))[: subject.newest]
            with psycopg.connect(server.url("bench_bare"), autocommit=True) as conn:
                for file in files:
                    conn.execute(file.read_bytes(), prepare=False)
            return time.monotonic() - began
        finally:
            outside.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def dump_s(server: Postgres, subject: Subject) -> float:
    """How long pg_dump takes for the schema, seconds. Raises: LabBroken."""
    known = subject.database
    command = (str(server.binaries / "pg_dump"), "--schema-only", "--no-password")
    variables = {"PGHOST": known.host, "PGPORT": str(known.port), "PGUSER": "postgres", "PGDATABASE": known.dbname}
    began = time.monotonic()
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **variables, "PGPASSWORD": server.password},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabBroken("lab-command-failed", f"pg_dump said: {done.stderr.strip()}", hint="try it by hand")
    return time.monotonic() - began
