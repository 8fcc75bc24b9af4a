"""`python -m graphgpo` is the `graphgpo` command."""

from __future__ import annotations

import sys

from graphgpo.cli import main

sys.exit(main())
