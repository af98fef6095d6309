"""`runbook give-share`: a holder's share goes from this terminal straight to Vault. This process never sees it."""

import argparse
import json
import os
import sys

from runbooks.errors import BadRequest
from store.settings import load


def give_share(asked: argparse.Namespace) -> None:
    """Become the program that asks for the share and sends it; see `tasks/shares`. Raises: BadRequest."""
    # never by a `.env` that happens to lie in the current folder: it would say where the share goes
    known = load(os.environ.get("RUNBOOK_ENV_FILE") or os.devnull).cluster(asked.cluster)
    ca_file = known.ca_file
    if ca_file is None or not ca_file.is_file():
        raise BadRequest(
            "vault-ca-missing", f"there is no CA file {ca_file}", hint="set VAULT_TLS_CA_FILE to Vault's CA"
        )
    nodes = {} if asked.fingerprint else known.nodes
    job = json.dumps({"nodes": nodes, "ca_file": str(ca_file)})
    sys.stdout.flush()
    # the new program takes this one's place: what asks for the share has core dumps off before it does
    os.execv(sys.executable, [sys.executable, "-I", "-m", "tasks.shares", "holder", job])
