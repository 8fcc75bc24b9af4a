"""Draw docs/images/demo.svg, the picture of `graphgpo demo` in the README.

python docs/images/make_demo_svg.py
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from graphgpo.demo_page import Line, demo_page

WIDTH = 80
HEIGHT = 10  # lines: README's first screen holds the code and this picture

THEME = TerminalTheme(
    background=(13, 17, 23),
    foreground=(230, 237, 243),
    normal=[
        (72, 79, 88),
        (248, 81, 73),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
)


def main() -> None:
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in picture(demo_page(width=WIDTH)):
        console.print(Text.assemble(*line), soft_wrap=True)
    svg = console.export_svg(title="graphgpo demo", theme=THEME, unique_id="demo")
    # The reader's own monospace font instead of one fetched from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    svg = re.sub(r"<!-- Generated .*? -->", "", svg)
    svg = re.sub(r"[ \t]+\n", "\n", svg)
    Path(__file__).with_name("demo.svg").write_text(svg, encoding="utf-8")


def picture(page: list[Line]) -> list[Line]:
    """The beginning of the page's first rollout."""
    start = next(i for i, line in enumerate(page) if line and line[0].text.startswith("Rollout "))
    return page[start : start + HEIGHT]


if __name__ == "__main__":
    main()
