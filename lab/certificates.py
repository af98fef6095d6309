"""Certificates of the lab: a certificate authority, and servers on loopback that it signed."""

from pathlib import Path

import trustme

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Authority:
    """A certificate authority of its own; make a second one for a server that must not be trusted."""

    def __init__(self, ca_file: Path, name: str = "HoodCloud lab CA") -> None:
        self._authority = trustme.CA(organization_name=name)
        self.ca_file = ca_file
        ca_file.parent.mkdir(parents=True, exist_ok=True)
        self._authority.cert_pem.write_to_path(ca_file)

    def issue(self, folder: Path, *names: str) -> None:
        """Writes `cert.pem` (with the chain) and `key.pem` (mode 0600) for `names`, else for loopback, to `folder`."""
        made = self._authority.issue_cert(*(names or LOOPBACK))
        (folder / "key.pem").touch(mode=0o600)
        made.private_key_pem.write_to_path(folder / "key.pem")
        for number, part in enumerate(made.cert_chain_pems):
            part.write_to_path(folder / "cert.pem", append=number > 0)
