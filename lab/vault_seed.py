"""What HoodCloud's Vault holds: the same paths, policies and AppRoles, with random values."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import hvac
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_APP = "secret/data/hoodcloud/app-credentials"
_READ = '["read"]'

POLICIES: Mapping[str, Mapping[str, str]] = {
    "hoodcloud-control-plane": {
        "secret/data/hoodcloud/*": _READ,
        "transit/encrypt/hoodcloud-master": '["update"]',
        "transit/decrypt/hoodcloud-master": '["update"]',
    },
    "hoodcloud-auth-server": {_APP: _READ},
    "hoodcloud-payment-service": {"secret/data/payment-service/credentials": _READ},
    "hoodcloud-admin": {
        "secret/data/*": '["create", "read", "update", "delete"]',
        "secret/metadata/*": '["read", "list", "delete"]',
    },
    "certbot-nats": {"secret/data/infra/certbot/cloudflare": _READ},
    "hoodcloud-runbooks": {_APP: _READ},
}
"""What each AppRole may, by path. Each role has the policy of its own name."""

_NOT_SECRET = ("_public_key", "_pub", "_chat_id", "_from", "_to", "_email_api_url", "_webhook_url")
_SLACK_WEBHOOK = "incident_slack_webhook_url"


@dataclass(frozen=True)
class AppRole:
    """How one service logs in: the role's id, and the file with its secret id (mode 0400)."""

    name: str
    role_id: str
    secret_id_file: Path

    def moved(self, folder: Path) -> "AppRole":
        """The same role with its file below `folder`."""
        return replace(self, secret_id_file=folder / self.name / "secret-id")


@dataclass(frozen=True)
class Seeded:
    """The roles by name, and every secret value that was put in."""

    roles: dict[str, AppRole]
    secrets: set[str]


def seed(root: hvac.Client, folder: Path, credentials: Mapping[str, str]) -> Seeded:
    """Seeds an empty, unsealed Vault. `credentials` are added to the application's; `folder` gets the roles' files."""
    root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    root.sys.enable_secrets_engine("transit")
    root.secrets.transit.create_key("hoodcloud-master")
    root.secrets.transit.create_key("autounseal")
    root.sys.enable_auth_method("approle")
    contents = {
        "hoodcloud/app-credentials": {**application_credentials(), **credentials},
        "hoodcloud/master-key": {"master_key": base64.b64encode(secrets.token_bytes(32)).decode()},
        "payment-service/credentials": {"db_password": _password(), "provider_api_key": _password()},
        "infra/certbot/cloudflare": {"api_token": _password()},
    }
    for path, values in contents.items():
        root.secrets.kv.v2.create_or_update_secret(path, values, mount_point="secret")
    roles = {name: _role(root, folder, name, rules) for name, rules in POLICIES.items()}
    found = {value for values in contents.values() for name, value in values.items() if is_secret(name)}
    # a text of many lines is seldom found whole; one line from its middle is
    found |= {value.splitlines()[1] for value in found if value.count("\n") > 2}
    found |= {role.secret_id_file.read_text() for role in roles.values()}
    return Seeded(roles, found)


def is_secret(name: str) -> bool:
    """Whether the field `name` of a secret holds what nobody may see. A Slack webhook's address is a password."""
    return name == _SLACK_WEBHOOK or not name.endswith(_NOT_SECRET)


def application_credentials() -> dict[str, str]:
    """Fresh values for what every service needs: passwords, the JWT pair (RS256), the sealed-box pair (X25519)."""
    jwt = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    box = X25519PrivateKey.generate()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    public = jwt.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "database_password": _password(),
        "redis_password": _password(),
        "jwt_private_key": jwt.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode(),
        "jwt_public_key": public.decode(),
        "sealed_box_private_key": base64.b64encode(box.private_bytes_raw()).decode(),
        "sealed_box_public_key": base64.b64encode(box.public_key().public_bytes_raw()).decode(),
        "AUTH_CLERK_SECRET_KEY": f"sk_test_{_password()}",
        "AUTH_CLERK_WEBHOOK_SECRET": f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}",
    }


def _role(root: hvac.Client, folder: Path, name: str, rules: Mapping[str, str]) -> AppRole:
    policy = "\n".join(f'path "{path}" {{ capabilities = {may} }}' for path, may in rules.items())
    root.sys.create_or_update_policy(name, policy)
    life = {"token_ttl": "5m", "token_max_ttl": "10m"}
    root.auth.approle.create_or_update_approle(name, token_policies=[name], **life)
    role = AppRole(name, root.auth.approle.read_role_id(name)["data"]["role_id"], folder).moved(folder)
    role.secret_id_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    role.secret_id_file.touch(mode=0o600)
    role.secret_id_file.write_text(root.auth.approle.generate_secret_id(name)["data"]["secret_id"])
    role.secret_id_file.chmod(0o400)
    return role


def _password() -> str:
    return secrets.token_urlsafe(24)
