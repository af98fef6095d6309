"""The way into Vault: an AppRole's token, from a server whose certificate was checked."""

from pathlib import Path
from typing import Any

import hvac
import requests
from hvac.exceptions import VaultError
from pydantic import SecretStr

from keys import redaction
from runbooks.errors import BadRequest, Refused, Unreachable
from store.settings import Settings

REFUSALS = frozenset({"InvalidRequest", "Unauthorized", "Forbidden", "InvalidPath"})
"""hvac's names for 400, 401, 403 and 404: an answer that stays the same when asked again. 400 at a login is a role id
or secret id that is not, or no longer, valid; 404 is no AppRole there at all."""


class Redirected(requests.RequestException):
    """A node answered 3xx. Never followed: a login's body is the secret id, and the way may lead to plain http.

    Nothing is lost: OpenBao's standbys pass requests on by themselves, and every other node is asked as well.
    """


def client(address: str, ca_file: Path | None, *, timeout_s: float) -> hvac.Client:
    """A client without a token. Verifies the server against `ca_file`, else against the system's CAs.

    Its calls raise `Redirected`, besides hvac's and requests' errors.

    Raises: BadRequest `vault-not-https` (a token would travel in the clear), `vault-ca-missing`.
    """
    if not address.startswith("https://"):
        raise BadRequest("vault-not-https", f"{address} is not https", hint="set VAULT_ADDR to Vault's https address")
    if ca_file is not None and not ca_file.is_file():
        raise BadRequest("vault-ca-missing", f"there is no CA file {ca_file}", hint="set VAULT_TLS_CA_FILE")
    verify = str(ca_file) if ca_file else True
    found = hvac.Client(url=address, token="", verify=verify, timeout=timeout_s, allow_redirects=False)
    # To hvac a 3xx is no error: it would hand the bare response to whoever asked for JSON.
    found.session.hooks["response"].append(_stay)
    # Neither a proxy nor a .netrc of whoever runs us has a say in where a token goes.
    found.session.trust_env = False
    return found


def login(address: str, ca_file: Path | None, settings: Settings, *, timeout_s: float = 10) -> hvac.Client:
    """A client with a token of the run's own AppRole (VAULT_ROLE_ID, VAULT_SECRET_ID_PATH) at one node.

    `timeout_s` holds for connecting and for every read. Give the token back with `logout`.

    Raises: BadRequest (our own settings will not do), Refused `approle-refused` (Vault does not accept the AppRole),
    Unreachable `vault-unreachable` (no answer, sealed, no leader, rate limit, a redirect).
    """
    redaction.quiet()
    role_id, secret_id = settings.vault_role_id, _secret_id(settings.vault_secret_id_path)
    if not role_id:
        raise BadRequest("role-id-missing", "VAULT_ROLE_ID is not set", hint="set it to the AppRole's role id")
    vault = client(address, ca_file, timeout_s=timeout_s)
    try:
        answer: Any = vault.auth.approle.login(role_id, secret_id.get_secret_value())
        redaction.hide([answer["auth"]["client_token"]])
    except VaultError as error:
        vault.adapter.close()
        if type(error).__name__ in REFUSALS:
            raise Refused(
                "approle-refused",
                f"{address} does not accept the AppRole {role_id[:8]}… ({type(error).__name__})",
                hint=f"renew the secret id in {settings.vault_secret_id_path}, or look whether the role still exists",
            ) from None
        raise unreachable(address, error) from None
    except (OSError, ValueError, TypeError, KeyError) as error:  # requests' errors are OSErrors
        vault.adapter.close()
        raise unreachable(address, error) from None
    return vault


def cluster_id(address: str, ca_file: Path | None, *, timeout_s: float) -> str:
    """The `cluster_id` that a node's seal status names, asked without a token; empty while it is sealed.

    Raises: BadRequest as `client`, Unreachable `vault-unreachable`.
    """
    vault = client(address, ca_file, timeout_s=timeout_s)
    try:
        return str(vault.sys.read_seal_status().get("cluster_id") or "")
    except (VaultError, OSError, ValueError, AttributeError) as error:
        raise unreachable(address, error) from None
    finally:
        vault.adapter.close()


def logout(vault: hvac.Client) -> None:
    """Gives the token back; it would end by itself, so nothing is said when that fails."""
    try:
        vault.auth.token.revoke_self()
    except (VaultError, OSError):
        pass
    finally:
        vault.adapter.close()


def unreachable(address: str, error: Exception) -> Unreachable:
    """What is raised for a Vault that gave no answer of use; `error` is hvac's or requests'."""
    kinds = {
        "VaultDown": "is sealed or has no leader",
        "RateLimitExceeded": "limits our requests",
        "Redirected": "sends us elsewhere, where we do not go",
    }
    kind = type(error).__name__
    return Unreachable(
        "vault-unreachable",
        f"{address} {kinds.get(kind, f'gave no answer of use ({kind})')}",
        hint="look at `bao status` there; the runbook unseal-vault unseals it",
    )


def _stay(response: requests.Response, **_: object) -> None:
    if 300 <= response.status_code < 400:
        raise Redirected(response=response)


def _secret_id(path: Path) -> SecretStr:
    try:
        secret_id = path.read_text().strip()
    except OSError as error:
        raise BadRequest(
            "secret-id-missing",
            f"the secret id in {path} cannot be read ({error.strerror})",
            hint="put the AppRole's secret id there, mode 0400, or set VAULT_SECRET_ID_PATH",
        ) from None
    redaction.hide([secret_id])
    return SecretStr(secret_id)
