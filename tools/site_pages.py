"""What MkDocs does not do by itself: pages from elsewhere in the repository, and the API's.

mkdocs.yml names both under `extra`. Addresses of both come from pyproject.toml.
"""

from __future__ import annotations

import ast
import posixpath
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from markdown_links import links
from repository import PROJECT, REPOSITORY, ROOT

HEADED = "    options:\n      show_root_heading: true\n      show_root_toc_entry: true\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.site_url = PROJECT["urls"]["Documentation"].rstrip("/") + "/"
    pages = [{module: api_page(module)} for module in config.extra["api"]]
    before = [next(iter(entry)) for entry in config.nav].index("Contributing")
    config.nav.insert(before, {"API": pages})
    return config


def api_page(module: str) -> str:
    return f"api/{module.removeprefix('graphgpo.')}.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for module in config.extra["api"]:
        files.append(File.generated(config, api_page(module), content=api_text(module)))
    for page, source in config.extra["pages"].items():
        content = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    return files


def api_text(module: str) -> str:
    """What mkdocstrings makes a page of. Names that `__all__` brings from elsewhere are its own."""
    path = ROOT.joinpath("python", *module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    own = f"# {module}\n\n::: {module}\n"
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names = [name for name in ast.literal_eval(value) if not name.startswith("_")]
                imported = (f"::: {module}.{name}\n{HEADED}" for name in names)
                return f"{own}    options:\n      members: false\n\n" + "\n".join(imported)
    return own


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Links between files of the repository become links between pages, or into the repository."""
    uri = page.file.src_uri
    source = config.extra["pages"].get(uri, f"docs/{uri}")
    pages = {origin: target for target, origin in config.extra["pages"].items()}
    parts, done = [], 0
    for link in links(markdown):
        if not link.is_relative:
            continue
        path, hash_, anchor = link.target.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if target in pages:
            address = relative(pages[target], uri)
        elif target.startswith("docs/"):
            address = relative(target.removeprefix("docs/"), uri)
        else:
            kind = "tree" if (ROOT / target).is_dir() else "blob"
            address = f"{REPOSITORY}/{kind}/main/{target}"
        parts += [markdown[done : link.start], address, hash_, anchor]
        done = link.end
    return "".join([*parts, markdown[done:]])


def relative(page: str, origin: str) -> str:
    return posixpath.relpath(page, posixpath.dirname(origin) or ".")
