"""A program of its own, `python -m tasks.shares`: the only code that ever holds a key share.

It lives for one node, a fraction of a second, with core dumps and tracing off, and dies with whoever started it. It
is told on its standard input what to do (references and addresses, never shares in an argument list), opens the
shares itself, sends them straight to Vault, and answers in lines of JSON that hold no share. Standard library only:
it starts in the time that importing an HTTP library would take.
"""
