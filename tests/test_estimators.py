"""Estimators: options declared once, checked when made, and no list of them but the one."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import graphgpo
from examples_of import an_estimator, an_example
from graphgpo import Estimator, GraphGPO, blocks, estimators
from graphgpo.blocks import MeanStd, ReturnToGo, Task, Term
from graphgpo.columns import COLUMNS
from graphgpo.estimators import option
from graphgpo.estimators._base import Range

REPOSITORY = Path(__file__).resolve().parents[1]
NAMES = estimators.names()
TWO_ROLLOUTS: dict[str, Any] = {
    "states": ["a", "a"],
    "group_ids": [0, 0],
    "trajectory_ids": [0, 1],
    "success": [True, False],
}

OPTIONS = [
    (name, field, get_type_hints(estimators.load(name))[field.name])
    for name in NAMES
    for field in dataclasses.fields(estimators.load(name))  # type: ignore[arg-type]
]
NUMBERS = [case for case in OPTIONS if case[1].metadata["allowed"] is not None]
CHOICES = [case for case in OPTIONS if get_origin(case[2]) is Literal]


def ids(cases: list[Any]) -> list[str]:
    return [f"{name}.{field.name}" for name, field, _ in cases]


# --- names ----------------------------------------------------------------------------------------


def test_a_file_is_an_estimator() -> None:
    folder = Path(inspect.getfile(estimators)).parent
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert set(NAMES) == files
    assert list(NAMES) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_says_what_it_is(name: str) -> None:
    cls = estimators.load(name)
    assert cls.name == name
    assert getattr(estimators, cls.__name__) is cls
    assert getattr(graphgpo, cls.__name__) is cls
    assert cls.mark in ("C", "P", "R")
    assert len(inspect.getdoc(cls) or "") > 20
    assert cls.__name__ in dir(estimators)


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_names_terms_and_columns(name: str) -> None:
    estimator = an_estimator(name)
    assert all(isinstance(term, Term) for term in estimator.terms())
    assert {column for any_of in estimator.needs for column in any_of} <= {*COLUMNS}
    assert estimator == estimators.make(an_example(name))
    assert hash(estimator) == hash(an_estimator(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_number_per_step_is_weighed_by_step_weight_and_one_per_trajectory_by_the_other(
    name: str,
) -> None:
    parts = {term.is_episodic for term in an_estimator(name).terms()}
    options = {field.name for field in dataclasses.fields(estimators.load(name))}  # type: ignore[arg-type]
    assert ("step_weight" not in options) or (False in parts)
    assert ("episode_weight" not in options) or (True in parts)


def test_what_is_no_estimator_is_no_attribute() -> None:
    for module in (graphgpo, estimators):
        with pytest.raises(AttributeError, match="has no attribute 'GraphPGO'"):
            module.GraphPGO  # noqa: B018


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "field", "hint"), OPTIONS, ids=ids(OPTIONS))
def test_an_option_has_a_range_or_choices_and_a_sentence(name: str, field: Any, hint: Any) -> None:
    assert field.metadata["meaning"].endswith(".")
    is_number = isinstance(field.metadata["allowed"], Range)
    assert is_number != (get_origin(hint) is Literal or hint is bool)
    assert hint in (float, int, bool) or get_origin(hint) is Literal


@pytest.mark.parametrize(("name", "field", "hint"), NUMBERS, ids=ids(NUMBERS))
def test_numbers_out_of_range_are_refused(name: str, field: Any, hint: Any) -> None:
    given = an_example(name)
    words = field.metadata["allowed"].words
    for value in (float("nan"), float("inf"), -float("inf")):
        text = re.escape(f"{field.name} is {value!r}; expected {words}")
        with pytest.raises(ValueError, match=f"^{text}$"):
            estimators.make({**given, field.name: value})
    for wrong in ("0.1", True, None, 1j):
        with pytest.raises(TypeError) as caught:
            estimators.make({**given, field.name: wrong})
        kind = type(wrong).__name__
        assert str(caught.value) == f"{field.name} is {wrong!r} ({kind}); expected {words}"
    for value in (-0.5, 0.0, 1.0, 1.5):
        if field.metadata["allowed"].allows(value):
            made = estimators.make({**given, field.name: value})
            assert type(getattr(made, field.name)) is hint
        else:
            with pytest.raises(ValueError, match=re.escape(words)):
                estimators.make({**given, field.name: value})


@pytest.mark.parametrize(("name", "field", "hint"), CHOICES, ids=ids(CHOICES))
def test_choices_are_these_words(name: str, field: Any, hint: Any) -> None:
    given = an_example(name)
    for choice in get_args(hint):
        made = estimators.make({**given, field.name: choice})
        assert getattr(made, field.name) == choice
        assert made.terms()
    choices = ", ".join(map(repr, get_args(hint)))
    with pytest.raises(ValueError, match=f"^{field.name} is 'else'; expected one of {choices}$"):
        estimators.make({**given, field.name: "else"})


def test_a_bool_is_a_bool() -> None:
    with pytest.raises(TypeError, match="base is 1; expected a bool"):
        estimators.make("hgpo", {"base": 1})


def test_an_int_is_whole() -> None:
    assert estimators.make("hgpo", {"history": 4.0}).options()["history"] == 4
    with pytest.raises(ValueError, match=r"history is 1.5; expected an int in \[0, 1000\]"):
        estimators.make("hgpo", {"history": 1.5})


REQUIRED = [
    (name, field.name) for name, field, _ in OPTIONS if field.default is dataclasses.MISSING
]


def test_some_options_have_no_default() -> None:
    assert REQUIRED == [
        ("ecpo", "tau"),
        ("ecpo", "step_weight"),
        ("gagpo", "gamma"),
        ("gagpo", "lam"),
    ]


@pytest.mark.parametrize(("name", "missing"), REQUIRED)
def test_an_option_without_a_default_must_be_given(name: str, missing: str) -> None:
    given = {option: value for option, value in an_example(name).items() if option != missing}
    with pytest.raises(TypeError) as caught:
        estimators.make(given)
    assert str(caught.value) == (
        f"estimator {name!r} needs {missing!r}, which has no default: pass it as an option"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelled_option_or_column_is_recognised(name: str) -> None:
    cls = estimators.load(name)
    for meant in [*(field.name for field in dataclasses.fields(cls)), *COLUMNS]:  # type: ignore[arg-type]
        if len(meant) < 5:
            continue
        with pytest.raises(TypeError) as caught:
            estimators.make(an_example(name), {f"{meant[:-2]}{meant[-1]}{meant[-2]}x": 1})
        assert f"of estimator {name!r}; did you mean {meant!r}?" in str(caught.value)


def test_a_column_is_meant_before_an_option() -> None:
    for written, meant in (("reward", "rewards"), ("action", "actions"), ("state", "states")):
        with pytest.raises(TypeError, match=f"did you mean '{meant}'"):
            estimators.make("graphgpo", {written: 1})


def test_a_column_is_no_option_of_an_estimator() -> None:
    with pytest.raises(TypeError, match="unknown option 'rewards'"):
        estimators.make("graphgpo", {"rewards": [0.0]})


def test_the_recipes_gamma_is_explained_where_there_is_no_discount() -> None:
    with pytest.raises(TypeError) as caught:
        estimators.make("graphgpo", {"gamma": 0.1})
    assert str(caught.value) == (
        "unknown option 'gamma' of estimator 'graphgpo'; it has no discount (the official recipe's "
        "`algorithm.gamma` is `omega` here)"
    )


def test_an_unknown_name_is_refused_with_what_may_have_been_meant() -> None:
    with pytest.raises(ValueError, match=r"estimator is 'graph_gpo'; did you mean 'graphgpo'\?"):
        estimators.load("graph_gpo")
    with pytest.raises(ValueError, match="estimator is ''; expected one of 'crbc', 'dr_grpo'"):
        estimators.load("")


# --- GraphGPO -------------------------------------------------------------------------------------


def test_the_defaults_are_the_papers() -> None:
    assert GraphGPO().options() == {
        "omega": 0.1,
        "success_reward": 10.0,
        "exponent": "paper",
        "normalization": "mean_std",
        "epsilon": 1e-6,
        "epsilon_scale": "relative",
        "step_weight": 1.0,
        "episode_weight": 1.0,
        "episode_weighting": "trajectory",
        "invalid_action_penalty": 0.0,
        "spread_weight": 0.0,
        "spread_actions": False,
        "spread_scale": "plain",
    }


def test_the_recipe_differs_in_four_options() -> None:
    recipe, paper = GraphGPO.recipe().options(), GraphGPO().options()
    assert {name: value for name, value in recipe.items() if value != paper[name]} == {
        "exponent": "recipe",
        "epsilon_scale": "absolute",
        "episode_weighting": "step",
        "invalid_action_penalty": 0.1,
    }
    changed = GraphGPO.recipe(omega=0.2, exponent="progress")
    assert (changed.omega, changed.exponent) == (0.2, "progress")
    with pytest.raises(TypeError, match="did you mean 'omega'"):
        GraphGPO.recipe(omgea=0.2)


def test_an_estimator_cannot_be_changed_or_given_by_position() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GraphGPO().omega = 0.5
    with pytest.raises(TypeError):
        GraphGPO(0.5)


# --- what an estimator is made from ---------------------------------------------------------------


class Node(Mapping[str, Any]):
    """What an OmegaConf node looks like."""

    def __init__(self, **values: Any) -> None:
        self.values_ = values

    def __getitem__(self, key: str) -> Any:
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


@dataclasses.dataclass
class TrainerConfig:
    """A trainer's own options."""

    estimator: str = "gigpo"
    gamma: float = 0.9


@pytest.mark.parametrize(
    "given",
    [
        {"estimator": "gigpo", "gamma": 0.9},
        Node(estimator="gigpo", gamma=0.9),
        TrainerConfig(),
        estimators.load("gigpo")(gamma=0.9),  # type: ignore[call-arg]
    ],
)
def test_estimators_come_from_mappings_nodes_and_dataclasses(given: Any) -> None:
    expected = estimators.make("gigpo", {"gamma": 0.9})
    assert estimators.make(given) == expected
    assert graphgpo.estimator(given) == expected
    assert estimators.make(given, {"gamma": 0.5}).options()["gamma"] == 0.5


def test_an_omegaconf_node_is_a_mapping() -> None:
    omegaconf = pytest.importorskip("omegaconf")
    node = omegaconf.OmegaConf.create({"estimator": "hgpo", "history": 4})
    assert estimators.make(node) == estimators.make("hgpo", {"history": 4})


def test_a_mapping_without_a_name_is_of_graphgpo() -> None:
    assert estimators.make({"omega": 0.5}) == GraphGPO(omega=0.5)


def test_a_class_is_as_good_as_its_name() -> None:
    assert estimators.make(GraphGPO, {"omega": 0.5}) == GraphGPO(omega=0.5)


def test_what_makes_no_estimator_says_so() -> None:
    for wrong in (3, None, ["graphgpo"]):
        with pytest.raises(TypeError, match=f"estimator is a {type(wrong).__name__}; expected a"):
            estimators.make(wrong)


def test_making_does_not_change_what_it_is_made_from() -> None:
    mapping = {"estimator": "gigpo", "gamma": 0.9}
    estimators.make(mapping)
    assert mapping == {"estimator": "gigpo", "gamma": 0.9}


def test_single_options_override_the_estimator() -> None:
    for given in (GraphGPO(success_reward=3.0, omega=0.2), {"success_reward": 3.0}):
        result = graphgpo.compute_advantages(**TWO_ROLLOUTS, estimator=given, omega=0.5)
        assert result.scores[0] == 1.5


def test_numbers_of_other_types_are_taken_as_floats() -> None:
    omega: Any = np.float32(0.5)
    made = GraphGPO(omega=omega, success_reward=1)
    assert type(made.omega) is float
    assert type(made.success_reward) is float


# --- estimators of users --------------------------------------------------------------------------


class Returns(Estimator):
    """A user's own."""

    gamma: float = 0.5
    peers: Literal["task"] = "task"

    def terms(self) -> list[Term]:
        """One term."""
        return [Term(ReturnToGo(self.gamma, 1.0), peers=Task(), normaliser=MeanStd())]


def test_an_estimator_of_the_users_is_no_second_class_citizen() -> None:
    expected = graphgpo.compute_advantages(
        **TWO_ROLLOUTS, estimator="stepwise", gamma=0.5, success_reward=1.0
    )
    for given in (Returns(), Returns, Returns(gamma=0.9).replaced(gamma=0.5)):
        result = graphgpo.compute_advantages(**TWO_ROLLOUTS, estimator=given)
        np.testing.assert_array_equal(result.advantages, expected.advantages)
    assert graphgpo.compute_advantages(**TWO_ROLLOUTS, estimator=Returns, gamma=0.9).scores[0] == 1
    assert Returns.name == "returns"
    assert Returns().options() == {"gamma": 0.5, "peers": "task"}
    with pytest.raises(TypeError, match="unknown option 'gama' of estimator 'returns'; did you"):
        Returns().replaced(gama=1)
    with pytest.raises(ValueError, match="peers is 'turn'; expected one of 'task'"):
        Returns(peers="turn")  # type: ignore[arg-type]


def test_an_estimator_may_be_made_where_it_is_used() -> None:
    class Kind:
        """A type only this function knows."""

    class MyOwnReturns(Estimator):
        gamma: float = option(0.5, Range(lambda x: x < 1, "less than 1"), "A discount.")
        kind: Kind | None = None

        def terms(self) -> list[Term]:
            return [Term(ReturnToGo(self.gamma, 1.0), peers=Task(), normaliser=MeanStd())]

    assert MyOwnReturns.name == "my_own_returns"
    result = graphgpo.compute_advantages(**TWO_ROLLOUTS, estimator=MyOwnReturns(gamma=0.9))
    assert result.advantages[0] > 0
    with pytest.raises(ValueError, match=r"gamma is 1\.5; expected less than 1"):
        MyOwnReturns(gamma=1.5)


def test_an_estimator_without_terms_says_so() -> None:
    class Nothing(Estimator):
        pass

    with pytest.raises(TypeError, match=r"Nothing has no terms\(\); an estimator names its blocks"):
        graphgpo.compute_advantages(**TWO_ROLLOUTS, estimator=Nothing())


# --- one list -------------------------------------------------------------------------------------

HOME = Path("python/graphgpo")
FILES = sorted(
    path.relative_to(REPOSITORY)
    for folder in (HOME, "bench", "examples")
    for path in (REPOSITORY / folder).rglob("*.py")
)


def texts_beside_each_other(tree: ast.AST) -> Iterator[set[str]]:
    """The texts of every list, tuple, set, dict's keys, and `Literal`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            parts = node.keys
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            parts = list(node.elts)
        else:
            continue
        values = [part.value for part in parts if isinstance(part, ast.Constant)]
        yield {value for value in values if isinstance(value, str)}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nobody_has_a_list_of_estimators_of_their_own(path: Path) -> None:
    for texts in texts_beside_each_other(ast.parse((REPOSITORY / path).read_text("utf-8"))):
        assert len(texts & {*NAMES}) < MANY_ESTIMATORS, texts


# The three of the demo are a choice of what to compare, not what there is.
MANY_ESTIMATORS = 4


def test_the_page_of_estimators_names_them_all() -> None:
    page = (REPOSITORY / "docs" / "estimators.md").read_text("utf-8")
    assert [name for name in NAMES if f"`{name}`" not in page] == []


def test_a_list_of_estimators_would_be_noticed() -> None:
    source = "NAMES = ('graphgpo', 'gigpo', 'grpo', 'hgpo')"
    (texts,) = texts_beside_each_other(ast.parse(source))
    assert len(texts & {*NAMES}) >= MANY_ESTIMATORS


def test_blocks_are_all_used_or_documented() -> None:
    # A block that no estimator uses is for estimators of users: it must say what it computes.
    for value in vars(blocks).values():
        if inspect.isclass(value) and issubclass(value, blocks.Block):
            assert inspect.getdoc(value)
