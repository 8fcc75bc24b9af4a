"""What a user can import, and that what the documentation shows is so."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import importlib.metadata
import importlib.util
import inspect
import io
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphgpo
from graphgpo import _core

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(graphgpo.__path__, "graphgpo.")
    if not module.name.startswith(("graphgpo._core", "graphgpo.__main__"))
)
TRAINERS = ("graphgpo.integrations.trl", "graphgpo.integrations.verl")  # those need their trainers
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_the_public_names_are_these() -> None:
    assert graphgpo.__all__ == [
        "Estimator",
        "GraphMemory",
        "LostCreditWarning",
        "Rollouts",
        "StateGraph",
        "StepAdvantages",
        "Terminal",
        "__version__",
        "build_graph",
        "compute_advantages",
        "estimator",
        "estimators",
        "state_key",
        "state_keys",
    ]
    for name in graphgpo.__all__:
        assert inspect.getdoc(getattr(graphgpo, name))
    assert dir(graphgpo) == graphgpo.__all__


def test_the_version_is_the_packages() -> None:
    assert graphgpo.__version__ == importlib.metadata.version("graphgpo")


def test_the_extras_of_trainers_neither_name_torch_nor_pin_anything() -> None:
    requirements = importlib.metadata.requires("graphgpo") or []
    of_trainers = [text for text in requirements if re.search(r"extra == .(verl|trl)\W", text)]
    asked = [text.split(";")[0].strip() for text in of_trainers]
    assert {"verl>=0.9.1", "trl>=1.16"} <= {*asked}
    assert not [text for text in asked if re.match(r"torch\b", text) or re.search("[=<~]=|<", text)]


def test_importing_prints_nothing_and_needs_numpy_only() -> None:
    others = {"torch", "rich", "pyarrow", "polars", "pandas", "networkx"}
    program = f"import sys, graphgpo; print(sorted({others} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"
    assert run.stderr == ""


def test_importing_loads_the_core_and_what_is_used_later_when_it_is_used() -> None:
    program = (
        "import sys, graphgpo;"
        "print(sorted(m for m in sys.modules if m.startswith(('graphgpo', 'numpy.ma'))));"
        "graphgpo.compute_advantages(['a'], group_ids=[0], trajectory_ids=[0], success=[True]);"
        "print('numpy.ma' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[0] == "['graphgpo', 'graphgpo._core']"
    assert run.stdout.splitlines()[1:] == ["False"] or np.__version__.startswith("1.")


def test_every_public_name_has_its_home_and_type_checkers_see_the_same() -> None:
    homes = graphgpo._HOMES
    assert sorted(homes) == sorted(set(graphgpo.__all__) - {"__version__"})
    source = Path(graphgpo.__file__).read_text("utf-8")
    for name, home in homes.items():
        module, _, attribute = home.partition(":")
        package, _, last = module.rpartition(".")
        line = rf"from {module} import .*\b{attribute}\b" if attribute else ""
        assert re.search(line or rf"from {package} import {last}\n", source), name


def test_an_estimator_is_imported_when_it_is_asked_for() -> None:
    program = (
        "import sys, graphgpo; graphgpo.GraphGPO;"
        "print([m for m in sys.modules if m.startswith('graphgpo.estimators.')"
        " and '._' not in m])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "['graphgpo.estimators.graphgpo']\n"


def test_the_core_has_no_defaults_and_no_positional_arguments() -> None:
    for name in ("compute_advantages", "build_graph"):
        signature = (getattr(_core, name).__doc__ or "").splitlines()[0]
        assert "(*, " in signature
        assert " = " not in signature


def test_a_result_is_its_advantages_and_cannot_be_changed() -> None:
    result = graphgpo.compute_advantages(
        ["a", "b"], group_ids=[0, 0], trajectory_ids=[0, 1], success=[True, False]
    )
    assert np.asarray(result) is not None
    np.testing.assert_array_equal(np.asarray(result), result.advantages)
    assert np.asarray(result, dtype=np.float64).dtype == np.float64
    assert len(result) == 2
    with pytest.raises(AttributeError):
        result.advantages = np.zeros(2)  # type: ignore[misc, assignment]


def test_a_result_shows_what_happened_in_one_line() -> None:
    result = graphgpo.compute_advantages(
        ["a", "a", "b"], group_ids=[0] * 3, trajectory_ids=[0, 1, 2], success=[1, 0, 0]
    )
    assert repr(result) == (
        "StepAdvantages(3 steps, 3 rollouts, 1 group; 67% of the steps with credit, "
        "merge_ratio 0.33)"
    )


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module: str) -> None:
    if module.startswith(TRAINERS):
        pytest.skip("needs the trainer")
    results = doctest.testmod(importlib.import_module(module))
    assert results.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_in_the_documentation_runs(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    namespace: dict[str, object] = {}
    for block in blocks:
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, namespace, page.name, page.name, 0)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            assert runner.run(test, clear_globs=False).failed == 0
            namespace.update(test.globs)
        else:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(block, page.name, "exec"), namespace)
            promised = re.findall(r"^print\(.*\)  # (.*)$", block, re.M)
            assert printed.getvalue().splitlines() == promised


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_in_the_documentation_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


def test_the_differences_page_shows_what_the_bench_measures() -> None:
    spec = importlib.util.spec_from_file_location(
        "recipe_differences", REPOSITORY / "bench" / "recipe_differences.py"
    )
    assert spec
    assert spec.loader
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    assert bench.table() in (REPOSITORY / "docs" / "differences.md").read_text("utf-8")
