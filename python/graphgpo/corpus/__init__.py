"""Corpora of any size: files to canonical rows or credits, part by part.

Where groups each lie in one place, rows are credited as they are read, in pieces of whole groups.
Elsewhere pass 1 reads files and writes their rows into partitions by a stable hash of the group;
pass 2 credits every partition apart; then rows are put back into the order of the input. No group
is ever cut, so answers have the same bits for any number of parts and workers.
"""

from __future__ import annotations

from .job import Job, Summary, run_job
from .workers import Processes, RayTasks, Serial, Workers

__all__ = ["Job", "Processes", "RayTasks", "Serial", "Summary", "Workers", "run_job"]
