"""Every setting there is, in one typed object, from the environment and one `.env` file.

Names are HoodCloud's own where its environment has one (`VAULT_ADDR`, `VAULT_ROLE_ID`, …), else they begin with
`RUNBOOK_`. Secrets are not settings, a setting says where one lies; but for the passwords of the store and of
Prefect's API.
"""

import os
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from runbooks.catalogue import Runbook, catalogue
from runbooks.consent import Policy
from runbooks.errors import BadRequest
from store.migrated import MigratedDatabase, SecretField

HttpsAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class VaultCluster(BaseModel):
    """One Vault cluster: where its nodes are, who it must be, and who keeps its key shares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: dict[Name, HttpsAddress] = Field(min_length=1, description="every node by name, with its https address")
    cluster_id: str = Field("", description="the cluster_id that `bao status` shows; checked once a node is unsealed")
    ca_file: Path | None = Field(
        None, description="the CA that signed the nodes' certificates; VAULT_TLS_CA_FILE if absent"
    )
    custody: Literal["kept", "quorum"] = Field(
        "quorum",
        description="kept: this host may open the shares below. quorum: people give them with `runbook give-share`",
    )
    shares: tuple[str, ...] = Field(
        (),
        description="where kept shares lie: file:/path (mode 0400), pgp:/path, credential:NAME, command:/path",
    )

    @field_validator("nodes")
    @classmethod
    def _only_tls(cls, nodes: dict[str, str]) -> dict[str, str]:
        for name, address in nodes.items():
            if not address.startswith("https://"):
                raise ValueError(f"{name} must be reached by https, not {address}")
        if len(set(nodes.values())) != len(nodes):
            raise ValueError("two nodes have the same address")
        return nodes


class PolicyChange(BaseModel):
    """What a deployment changes of a runbook's own policy; what is absent stays as the runbook says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approvals: int | None = Field(None, ge=1, le=10)
    requester_may_approve: bool | None = None
    typed_digest_counts: bool | None = None
    standing: bool | None = None
    valid_s: int | None = Field(None, ge=60, le=86_400)
    irreversible_approvals: int | None = Field(None, ge=1, le=10)


def _state_folder() -> Path:
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "hoodcloud-runbooks"
    except RuntimeError:  # a user without a home
        return Path("/var/lib/hoodcloud-runbooks")


class Settings(BaseSettings):
    """See `deployments/README.md` for the same list with examples."""

    model_config = SettingsConfigDict(
        env_file=None, extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )

    environment: str = Field("production", validation_alias="ENVIRONMENT")

    # Vault, by HoodCloud's own names
    vault_addr: HttpsAddress | None = Field(None, validation_alias="VAULT_ADDR")
    vault_role_id: str | None = Field(None, validation_alias="VAULT_ROLE_ID")
    vault_secret_id_path: Path = Field(
        Path("/opt/hoodcloud/secrets/vault-secret-id"), validation_alias="VAULT_SECRET_ID_PATH"
    )
    vault_tls_ca_file: Path = Field(Path("/opt/hoodcloud/secrets/vault-ca.crt"), validation_alias="VAULT_TLS_CA_FILE")
    vault_tls_skip_verify: bool = Field(default=False, validation_alias="VAULT_TLS_SKIP_VERIFY")
    vault_clusters: dict[Name, VaultCluster] = Field(
        default_factory=dict,
        validation_alias="RUNBOOK_VAULT_CLUSTERS",
        description="clusters by name, as JSON; without it, one cluster `hoodcloud` with the one node VAULT_ADDR",
    )
    vault_probe_secret: str = Field(
        "secret/hoodcloud/app-credentials",
        validation_alias="RUNBOOK_VAULT_PROBE_SECRET",
        description="mount/path of the KV v2 secret that is read to prove that an unsealed Vault is usable",
    )
    vault_settle_s: float = Field(
        90, gt=0, le=600, validation_alias="RUNBOOK_VAULT_SETTLE_S", description="longest wait for a leader, seconds"
    )
    vault_shares_wait_s: float = Field(
        1800,
        gt=0,
        le=86_400,
        validation_alias="RUNBOOK_VAULT_SHARES_WAIT_S",
        description="longest wait for holders, seconds",
    )

    # databases that golang-migrate migrates, and where their backups go
    databases: dict[Name, MigratedDatabase] = Field(
        default_factory=dict,
        validation_alias="RUNBOOK_DATABASES",
        description="the databases by name (control-plane, payment-service), as JSON",
    )
    postgres_folder: Path | None = Field(
        None,
        validation_alias="RUNBOOK_POSTGRES_FOLDER",
        description="where PostgreSQL's programs are (pg_dump, initdb); absent: found by pg_config, or a wheel's",
    )
    s3_endpoint: HttpsAddress | None = Field(
        None, validation_alias="RUNBOOK_S3_ENDPOINT", description="the address of S3, where it is not Amazon's"
    )
    s3_region: str = Field("us-east-1", validation_alias="RUNBOOK_S3_REGION")
    s3_key_id: SecretField | None = Field(
        None,
        validation_alias="RUNBOOK_S3_KEY_ID",
        description="the access key id in Vault: mount/path#field; absent: what boto3 finds by itself",
    )
    s3_secret_key: SecretField | None = Field(
        None, validation_alias="RUNBOOK_S3_SECRET_KEY", description="its secret in Vault: mount/path#field"
    )

    # our own memory
    store_url: SecretStr = Field(
        default_factory=lambda: SecretStr(f"sqlite:///{_state_folder() / 'store.db'}"),
        validation_alias="RUNBOOK_STORE_URL",
    )
    heartbeat_stale_s: float = Field(
        30, ge=1, le=600, validation_alias="RUNBOOK_HEARTBEAT_STALE_S", description="a holder silent for longer is dead"
    )
    policies: dict[str, PolicyChange] = Field(default_factory=dict, validation_alias="RUNBOOK_POLICIES")

    # how news goes out
    app_credentials: str = Field("secret/hoodcloud/app-credentials", validation_alias="RUNBOOK_APP_CREDENTIALS")
    credentials_cache: Path = Field(
        default_factory=lambda: _state_folder() / "channels.lkg", validation_alias="RUNBOOK_CREDENTIALS_CACHE"
    )
    credentials_key: Path | None = Field(
        None,
        validation_alias="RUNBOOK_CREDENTIALS_KEY",
        description="file with the cache's key, mode 0400; else the systemd credential runbook-cache-key",
    )
    credentials_cache_days: float = Field(7, gt=0, le=90, validation_alias="RUNBOOK_CREDENTIALS_CACHE_DAYS")
    telegram_api: HttpsAddress = Field("https://api.telegram.org", validation_alias="RUNBOOK_TELEGRAM_API")
    send_timeout_s: float = Field(5, gt=0, le=60, validation_alias="RUNBOOK_SEND_TIMEOUT_S")

    # Prefect
    prefect_api_url: str = Field("http://127.0.0.1:4200/api", validation_alias="PREFECT_API_URL")
    prefect_api_auth: SecretStr | None = Field(None, validation_alias="PREFECT_API_AUTH_STRING")
    ui_url: str = Field(
        "",
        validation_alias=AliasChoices("RUNBOOK_UI_URL", "PREFECT_UI_URL"),
        description="the UI's address in a browser",
    )

    @field_validator("policies")
    @classmethod
    def _of_runbooks(cls, policies: dict[str, PolicyChange]) -> dict[str, PolicyChange]:
        if unknown := sorted(set(policies) - set(catalogue())):
            raise ValueError(f"{', '.join(unknown)} is no runbook; the runbooks are: {', '.join(catalogue())}")
        return policies

    @field_validator("vault_tls_skip_verify")
    @classmethod
    def _always_verify(cls, skip: bool) -> bool:
        if skip:
            raise ValueError(
                "must not be true: key shares and tokens go only to a server whose certificate was checked"
            )
        return skip

    @property
    def browser_url(self) -> str:
        """Where people find Prefect's UI, without a slash at the end."""
        return (self.ui_url or self.prefect_api_url.rstrip("/").removesuffix("/api")).rstrip("/")

    def policy(self, book: Runbook) -> Policy:
        """The runbook's policy with what this deployment changes of it. Raises: BadRequest `bad-setting`."""
        change = self.policies.get(book.name)
        try:
            return replace(book.policy, **change.model_dump(exclude_none=True)) if change else book.policy
        except ValueError as error:
            raise BadRequest(
                "bad-setting",
                f"RUNBOOK_POLICIES.{book.name} makes no sense: {error}",
                hint="set approvals, requester_may_approve and typed_digest_counts so that they fit each other",
            ) from None

    def cluster(self, name: str) -> VaultCluster:
        """The Vault cluster called `name`. Raises: BadRequest `unknown-cluster`."""
        clusters = self.vault_clusters or (
            {"hoodcloud": VaultCluster(nodes={"vault": self.vault_addr})} if self.vault_addr else {}
        )
        if name not in clusters:
            known = ", ".join(clusters) or "none; set RUNBOOK_VAULT_CLUSTERS or VAULT_ADDR"
            raise BadRequest(
                "unknown-cluster", f"there is no Vault cluster {name[:60]!r}", hint=f"the clusters are: {known}"
            )
        found = clusters[name]
        return found if found.ca_file else found.model_copy(update={"ca_file": self.vault_tls_ca_file})

    def database(self, name: str) -> MigratedDatabase:
        """The migrated database called `name`. Raises: BadRequest `unknown-database`."""
        if name not in self.databases:
            known = ", ".join(self.databases) or "none; set RUNBOOK_DATABASES"
            raise BadRequest(
                "unknown-database", f"there is no database {name[:60]!r}", hint=f"the databases are: {known}"
            )
        return self.databases[name]


def load(env_file: str | None = None) -> Settings:
    """The settings of this environment; `env_file` (else `$RUNBOOK_ENV_FILE`, else `.env` here) fills what it lacks.

    Raises: BadRequest `bad-setting`, with one line that names the setting and never its value.
    """
    file = env_file or os.environ.get("RUNBOOK_ENV_FILE") or _own_env_file()
    if file and (not Path(file).exists() or Path(file).is_dir()):
        raise BadRequest(
            "bad-setting", f"RUNBOOK_ENV_FILE names {file}, which is no file", hint="correct it or unset it"
        )
    try:
        return Settings(_env_file=file)
    except ValidationError as error:
        wrong = "; ".join(_one_line(one) for one in error.errors(include_input=False, include_url=False))
    except SettingsError as error:  # it names the field, and not the variable that people set
        wrong = re.sub(r'.*field "(\w+)".*', _no_json, f"{error}")
    where = f"the environment or in {file}" if file else "the environment"
    raise BadRequest("bad-setting", wrong, hint=f"correct it in {where}; see deployments/README.md")


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load()


def _own_env_file() -> str:
    """`.env` of the current folder, unless somebody else could have put it there: it says where secrets are sent.

    Raises: BadRequest `bad-setting`.
    """
    try:
        found = Path(".env").stat()
    except OSError:
        return ""
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise BadRequest(
            "bad-setting",
            f"{Path('.env').absolute()} belongs to somebody else or can be changed by others",
            hint="go to another folder, or name the file that you trust in RUNBOOK_ENV_FILE",
        )
    return ".env"


def _no_json(found: re.Match[str]) -> str:
    field = Settings.model_fields.get(found[1])
    return f"{field.validation_alias if field else found[1]} ({found[1]}) is no JSON"


def _one_line(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg'].removeprefix('Value error, ')}"
