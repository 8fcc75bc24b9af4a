"""`python -m graphgpo.problems [NAME ...]`: what problems mean, and what to do."""

from __future__ import annotations

import sys

from graphgpo.problems.pages import PAGES, page


def main(names: list[str]) -> int:
    """Print the pages of these problems, or of all."""
    for name in names:
        if name.replace("-", " ") not in PAGES:
            known = ", ".join(known.replace(" ", "-") for known in PAGES)
            print(f"no problem is called {name!r}; expected one of {known}", file=sys.stderr)
            return 2
    print("\n\n".join(page(name) for name in names or PAGES))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
