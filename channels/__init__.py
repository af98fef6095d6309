"""VOICES: how news goes out. One outcome, told by Slack, Telegram, e-mail and webhook, each in its own way.

    deliver.py      sends what waits in the outbox: one thread for each channel, which is a drain.py
    wording.py      what every message says, and in which order; lines.py makes it fit
    slack.py telegram.py email.py webhook.py   how each medium says it
    answers.py      which answers mean: sent, try again, never
    credentials.py  where the channels lie, and their keys: from Vault, else from the last-known-good file (cache.py);
                    fields.py says what a channel needs

Knows no Prefect. To add a channel: one file with `async def send(message, credentials, settings) -> Answer`, its fields
in `fields.py`, a line in `drain.py`, and its name in `store/outbox.py`.
"""
