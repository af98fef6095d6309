"""Prefect's server by its HTTP API: starting a run takes 50 ms that way, importing Prefect two seconds."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from runbooks.catalogue import Runbook
from runbooks.errors import BadRequest, Unreachable
from store.settings import Settings

ANSWER_S = 3
"""Longest wait for one answer, seconds: a person is waiting."""

TRIES = 4
"""On SQLite the server answers 503 when two runs are created at once; the idempotency key makes asking again safe."""


@dataclass(frozen=True, slots=True)
class Started:
    """A run that Prefect has taken in: its id, its name, and the page where it can be watched."""

    id: str
    name: str
    link: str


def start_run(
    settings: Settings, book: Runbook, parameters: Mapping[str, Any], *, digest: str, who: str, reason: str
) -> Started:
    """Start the runbook's deployment to carry out the plan `digest`.

    Raises: Unreachable `prefect-unreachable` (nothing was started), BadRequest `deployment-missing`.
    """
    values = {**parameters, "approve": digest, "reason": reason}
    # for our own retries only: Prefect answers a known key with the first run, even long after that has ended, and the
    # same outage has the same digest tomorrow
    key = uuid.uuid4().hex
    body = {"parameters": values, "tags": ["door:command-line", f"by:{who}"], "idempotency_key": key}
    asked = "".join(f" --param {name}={value}" for name, value in parameters.items())
    without = f'without Prefect: runbook break-glass {book.name}{asked} --approve {digest} --reason "…"'
    with _client(settings) as prefect:
        found = _ask(prefect, "GET", f"/deployments/name/{book.name}/{book.name}", without)
        run = _ask(prefect, "POST", f"/deployments/{found['id']}/create_flow_run", without, body)
    page = f"{settings.browser_url}/v2/runs/flow-run/{run['id']}?tab=Artifacts"
    return Started(run["id"], run["name"], page)


def _client(settings: Settings) -> httpx.Client:
    secret = settings.prefect_api_auth
    user, _, password = secret.get_secret_value().partition(":") if secret else ("", "", "")
    auth = httpx.BasicAuth(user, password) if secret else None
    return httpx.Client(base_url=settings.prefect_api_url, auth=auth, timeout=ANSWER_S, trust_env=False)


def _ask(prefect: httpx.Client, method: str, path: str, without: str, body: Any = None) -> dict[str, Any]:
    why, sure = "", True
    for _ in range(TRIES):
        try:
            answer = prefect.request(method, path, json=body)
        except httpx.HTTPError as error:
            why = type(error).__name__
            # an answer that was lost may have been a yes
            sure = sure and (method == "GET" or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout))
            continue
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise BadRequest(
                "deployment-missing",
                f"Prefect at {prefect.base_url} has no deployment for {path}",
                hint="run `prefect deploy --all` in the project's folder",
            )
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            return found
        why = f"{answer.status_code}"
    started = "nothing was started" if sure else "the run may have been started: look at `runbook status` first"
    raise Unreachable(
        "prefect-unreachable",
        f"Prefect at {prefect.base_url} gave no answer of use ({why}); {started}; your vote is kept",
        hint=without,
    )
