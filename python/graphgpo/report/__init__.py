"""A report of rollouts: one page that explains their credit, and figures of their graphs.

`graphgpo report` on the command line. Needs NumPy only; to read files, the extra `graphgpo[files]`.
"""

from __future__ import annotations

from graphgpo.report.batch import UnknownTaskError
from graphgpo.report.document import page
from graphgpo.report.figure import draw

__all__ = ["UnknownTaskError", "draw", "page"]
