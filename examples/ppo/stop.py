"""How a program ends when the user can do something about it."""

from __future__ import annotations


class Stop(SystemExit):
    """Ends a program with a message a user can act on."""
