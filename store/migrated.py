"""The settings of the databases that golang-migrate migrates. No password is said here, only where one lies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

Identifier = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\"]{1,63}$")]
SecretField = Annotated[str, StringConstraints(pattern=r"^[^\s#]+/[^\s#]+#[A-Za-z0-9_.-]+$")]
Source = Annotated[str, StringConstraints(pattern=r"^(/|git:/|s3://)[^\x00-\x1f]+$")]
Bucket = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\x00-\x1f]*)?$")]

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class Login(BaseModel):
    """Who logs in where, and where the password lies: in Vault, and in a file for when Vault is away."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="the server itself, never PgBouncer: locks belong to a session")
    port: int = Field(5432, ge=1, le=65_535, description="its port")
    user: Identifier = Field(description="the role that migrates: who owns what the migrations make")
    sslmode: SslMode = Field("require", description="as libpq knows it (DB_SSL_MODE)")
    ca_file: Path | None = Field(None, description="the CA of the server's certificate, for verify-ca and verify-full")
    password: SecretField | None = Field(None, description="the password in Vault: mount/path#field")
    password_file: Path | None = Field(None, description="a file with it, mode 0400, used while Vault is away")


class MigratedDatabase(Login):
    """One database that golang-migrate migrates: where it is, where its files are, how they are run."""

    dbname: Identifier = Field(description="the name of the database on its server")
    migrations: Source = Field(
        description="where its files are: /folder, git:/repository@revision:folder, or s3://bucket/prefix"
    )
    known_gaps: tuple[int, ...] = Field((), description="numbers that are missing among the files, and rightly so")
    deployed: Path | None = Field(None, description="digests of the deployed files, as sha256sum prints them")
    files_are_deployed: bool = Field(
        default=False, description="the files at `migrations` are the very ones that the migrate command reads"
    )
    version_schema: Identifier = Field("public", description="the schema of the version table")
    version_table: Identifier = Field("schema_migrations", description="the version table (x-migrations-table)")
    driver: Literal["postgres", "pgx5"] = Field("postgres", description="golang-migrate's database driver")
    multi_statement: bool | None = Field(
        None, description="whether x-multi-statement is on; absent: not known, and both ways must lead to one finding"
    )
    migrate: tuple[str, ...] = Field((), description="the command that brings it to the newest version, as a list")
    migrate_folder: Path | None = Field(None, description="the folder in which that command runs")
    migrate_limit_s: float = Field(1800, gt=0, le=86_400, description="longest run of that command, seconds")
    log: Path | None = Field(None, description="what the last run of that command printed, as the pipeline keeps it")
    scratch: Login | Literal["same-server", "own-server"] = Field(
        "same-server",
        description="where scratch databases are made: beside it, on a server of the run's own, or on a given one",
    )
    keep_template: bool = Field(default=True, description="keep the replayed versions for the next look")
    backup: Bucket | None = Field(None, description="where backups go: s3://bucket/prefix")
    backup_folder: Path = Field(
        Path("/var/lib/hoodcloud-runbooks/backups"), description="where they go when that is absent or away"
    )

    @field_validator("migrate")
    @classmethod
    def _no_secret_in_arguments(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if any("://" in word and "@" in word.partition("://")[2].partition("/")[0] for word in command):
            raise ValueError("an address with a password in it: every user of the host can read arguments")
        return command

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"{self.dbname} at {self.host}:{self.port}"
