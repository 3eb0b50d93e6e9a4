"""Every private part of Dagster that this package uses, each with the reason.

Nothing else imports from inside Dagster. There is a module for each kind of process, so that a
code server does not load the daemon; all are tested with the versions in `CHECKED_WITH`, the oldest
that is admitted (`make test-oldest`) and the one that is locked.
"""

CHECKED_WITH = ("1.13.25", "1.13.27")

__all__ = ["CHECKED_WITH"]
