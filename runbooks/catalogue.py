"""Which runbooks there are: every module of this package that defines `RUNBOOK`. Adding one edits nothing here."""

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache

import runbooks
from runbooks.consent import Policy
from runbooks.errors import BadRequest

EVERY_RUN = "runbooks/every_run.md"
"""The page with what any run can meet, whatever its runbook."""

INSTALLATION = "deployments/README.md"
OF_THE_INSTALLATION = (
    "approle-refused",
    "bad-setting",
    "credentials-refused",
    "database-login-refused",
    "database-missing",
    "database-unreachable",
    "deployment-missing",
    "digests-unreadable",
    "lab-missing",
    "migrate-command-missing",
    "migration-twice",
    "migration-unreadable",
    "migrations-missing",
    "migrations-too-large",
    "migrations-unreachable",
    "no-scratch-server",
    "password-file-missing",
    "password-file-open",
    "password-missing",
    "pg-dump-missing",
    "role-id-missing",
    "s3-changed-it",
    "s3-missing",
    "s3-not-https",
    "s3-refused",
    "s3-unreachable",
    "scratch-failed",
    "scratch-unreachable",
    "scratch-version",
    "secret-id-missing",
    "unknown-cluster",
    "unknown-database",
    "vault-ca-missing",
    "vault-not-https",
    "vault-unclear",
    "vault-unreachable",
)
"""What is mended in the settings, and explained on the installation's page."""


@dataclass(frozen=True, slots=True)
class Runbook:
    """What people and doors need to know of a runbook before it runs.

    `name` is what people call it and how its deployment is called; `module` the name of its thinking and its page;
    `findings` every word that its diagnosis can give, each a heading of the page, as are `failures`: what its steps
    can meet.
    """

    name: str
    module: str
    purpose: str
    policy: Policy
    findings: tuple[str, ...]
    failures: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """The page for people, from the root of the project."""
        return f"runbooks/{self.module}.md"

    def explained_at(self, word: str) -> str:
        """Where `word`, a finding or the reference of an error, is explained: a page and its heading.

        What runbooks share (a step, a hand) is explained on the page of one of them.
        """
        for book in (self, *catalogue().values()):
            if word in (*book.findings, *book.failures):
                return f"{book.page}#{word}"
        return f"{INSTALLATION if word in OF_THE_INSTALLATION else EVERY_RUN}#{word}"

    @property
    def entrypoint(self) -> str:
        """Where its flow is, dotted, as in prefect.yaml."""
        flow = self.name.replace("-", "_")
        return f"flows.{flow}.{flow}"


@cache
def catalogue() -> dict[str, Runbook]:
    """All runbooks by name."""
    modules = [importlib.import_module(f"runbooks.{found.name}") for found in pkgutil.iter_modules(runbooks.__path__)]
    found = [module.RUNBOOK for module in modules if hasattr(module, "RUNBOOK")]
    return {book.name: book for book in sorted(found, key=lambda book: book.name)}


def runbook(name: str) -> Runbook:
    """The runbook called `name`. Raises: BadRequest `unknown-runbook`."""
    book = catalogue().get(name)
    if book is None:
        raise BadRequest(
            "unknown-runbook",
            f"there is no runbook {name[:60]!r}",
            hint=f"the runbooks are: {', '.join(catalogue())}",
        )
    return book
