"""The bot: looks at new and changed models, says one thing about each that a person agreed to, and takes it back.

    webhook -> events -> inbox -> worker (audit) -> policy -> ledger (a person approves) -> post -> the Hub

A webhook (`webhook.py`) is a reason to look at a model, no more (`events.py`). Jobs, proposals and what stands on the
Hub are kept in one SQLite file (`state.py`; `inbox.py`, `ledger.py` and `wishes.py` are its verbs). The worker audits
what is due and asks `policy.py` what follows: nothing may be said without a person, or an owner who asked for it.
`words.py` writes the comment; `post.py` is the only place that writes to the Hub.

The server needs the extra `bot`: `pip install 'hubdna[bot]'`. Everything else works without it.
"""
