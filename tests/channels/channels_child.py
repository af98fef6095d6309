"""A process that delivers, to be killed or listened to: `channels_child.py HOW STORE_URL TELEGRAM_API < CREDENTIALS`.

HOW is a comma list of: die (kill -9 after sending, before writing it down), loud (as if nobody had called `quiet`),
levels (the libraries log all they can, and only redaction stands between), prefect (Prefect has set up the logging).
"""

import json
import logging
import os
import signal
import sys

from channels import drain
from channels.credentials import Credentials
from channels.deliver import deliver
from keys import redaction
from store import outbox
from store.database import Database
from store.settings import Settings

how, store_url, telegram_api = sys.argv[1].split(","), sys.argv[2], sys.argv[3]
logging.basicConfig(level=logging.DEBUG)
if "prefect" in how:
    import prefect  # noqa: F401  # importing it configures logging
    from prefect.logging.configuration import setup_logging

    setup_logging(incremental=False)
    logging.getLogger().setLevel(logging.DEBUG)
if "loud" in how:
    redaction.quiet = lambda: None
if "levels" in how:
    redaction.NOISY = ()
    for name in ("httpx", "httpcore", "telegram", "urllib3"):
        logging.getLogger(name).setLevel(logging.DEBUG)
if "die" in how:
    drain.LEASE_SPARE_S = -2.0  # nobody wants to wait for the dead
    outbox.sent = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]

credentials = Credentials.of(json.load(sys.stdin))
db = Database.open(store_url)
print(deliver(db, Settings(telegram_api=telegram_api, send_timeout_s=1), deadline_s=1, credentials=credentials))
print(credentials)
db.close()
