"""What the page holds, looked at without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from scenes import hostile, maze, shipped, walks

import graphgpo
from graphgpo.report import UnknownTaskError, page, why
from graphgpo.report.batch import credited, named, task_name, telling
from graphgpo.report.health import chart, health_of
from graphgpo.report.task import MOST_ROLLOUTS
from graphgpo.report.why import MOST_PEERS, Reader, rounded

NAMES = ("grpo", "gigpo", "graphgpo")


class Page(HTMLParser):
    """Tags, and what is between those of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append((self.tags[-1][1], data))

    def data(self, name: str) -> Any:
        return next(json.loads(text) for attrs, text in self.scripts if attrs.get("id") == name)


def parsed(rollouts: graphgpo.Rollouts, *arguments: Any, **options: Any) -> Page:
    return Page(page(rollouts, *arguments, **options))


def run_of_three_steps(*groups: str) -> graphgpo.Rollouts:
    """Two rollouts of two steps a group; the first wins."""
    return graphgpo.Rollouts(
        ["hall", "door", "hall", "attic"] * len(groups),
        group_ids=[group for group in groups for _ in range(4)],
        trajectory_ids=[0, 0, 1, 1] * len(groups),
        success=[True, True, False, False] * len(groups),
    )


def test_a_memory_is_refused_and_left_as_it_is() -> None:
    memory = graphgpo.GraphMemory()
    rollouts = run_of_three_steps("cup")
    remembering = graphgpo.Rollouts(**rollouts.columns, task_ids=["cup"] * 4, memory=memory)
    said = "the rollouts have a memory, and a report looks at a batch alone; make Rollouts without"
    with pytest.raises(ValueError, match=said):
        page(remembering)
    assert memory.num_batches == 0


def test_a_page_warns_of_nothing_that_it_shows(recwarn: pytest.WarningsRecorder) -> None:
    rollouts = graphgpo.Rollouts(
        [f"room {i}, step {i}" for i in range(256)],
        group_ids=[i // 64 for i in range(256)],
        trajectory_ids=[i // 8 for i in range(256)],
        success=[i // 8 % 2 == 0 for i in range(256)],
    )
    text = page(rollouts)
    assert "steps start in a state seen once" in text
    assert not recwarn.list


def test_the_same_rollouts_make_the_same_page() -> None:
    assert page(shipped("sokoban"), top=1) == page(shipped("sokoban"), top=1)


def test_the_page_asks_the_network_for_nothing() -> None:
    text = page(shipped("textworld"), top=1)
    found = Page(text)
    for tag, attributes in found.tags:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    assert not re.search(r"@import|url\(", text)


def test_the_policy_allows_the_one_script_and_nothing_else() -> None:
    found = parsed(shipped("textworld"), top=1)
    policy = next(a["content"] for t, a in found.tags if a.get("http-equiv")) or ""
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    code = [text for attrs, text in found.scripts if attrs.get("type") is None]
    assert len(code) == 1
    digest = base64.b64encode(hashlib.sha256(code[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert not [a for _, a in found.tags if any(name.startswith("on") for name in a)]


def test_the_script_never_writes_markup() -> None:
    code = next(t for a, t in parsed(shipped("textworld"), top=1).scripts if not a.get("type"))
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", code
    )


def test_strangers_text_opens_no_tag() -> None:
    ours = {tag for tag, _ in parsed(shipped("textworld")).tags}
    text = page(hostile(), title="</title><script>alert(1)</script>")
    found = Page(text)
    assert {tag for tag, _ in found.tags} - ours <= {"pre"}
    assert len([a for a, _ in found.scripts if not a.get("type")]) == 1
    steps = found.data("task-0")["steps"]["action"]
    assert any("</script>" in action for action in steps)  # whole, as data


def test_credits_are_those_of_the_library() -> None:
    rollouts = shipped("textworld")
    steps = parsed(rollouts, NAMES, tasks=["0"]).data("task-0")["steps"]
    for name, result in rollouts.compare(NAMES).items():
        expected = [rounded(x) for x in result.advantages[steps["row"]].tolist()]
        assert steps["credit"][name]["all"] == expected


@pytest.mark.parametrize("name", graphgpo.estimators.names())
def test_what_is_said_of_a_step_adds_up_to_its_credit(name: str) -> None:
    estimator = _made(name)
    rollouts = _with_everything()
    batch = credited(rollouts, [estimator])
    rows = sorted(batch.rows_of(0).tolist())
    reader = Reader(rollouts)
    why = reader.explained(estimator, rows, reader.read(rows))
    assert why is not None
    credit = batch.results[name].advantages[rows]
    total = sum(
        np.array(term["values"], float)
        * term["weight"]
        * why["episodeWeight" if term["episodic"] else "stepWeight"]
        for term in why["terms"]
    )
    assert np.allclose(total, credit, atol=1e-4)


def _made(name: str) -> graphgpo.Estimator:
    required = {"ecpo": {"tau": 0.5, "step_weight": 1.0}, "gagpo": {"gamma": 0.9, "lam": 0.9}}
    return graphgpo.estimator({"estimator": name, **required.get(name, {})})


def _with_everything() -> graphgpo.Rollouts:
    columns = dict(shipped("textworld").columns)
    rows = [i for i, group in enumerate(columns["group_ids"].tolist()) if group == 0]
    taken: dict[str, Any] = {
        n: np.asarray(c)[rows] if n != "states" else None for n, c in columns.items()
    }
    taken["states"] = [columns["states"][row] for row in rows]
    taken["next_states"] = [columns["next_states"][row] for row in rows]
    taken["actions"] = [columns["actions"][row] for row in rows]
    return graphgpo.Rollouts(
        **taken,
        rewards=np.linspace(0, 1, len(rows)),
        action_valid=[True] * len(rows),
        peer_keys=[i % 3 for i in range(len(rows))],
    )


def test_the_peers_of_a_step_are_those_that_explain_names() -> None:
    rollouts = shipped("textworld")
    task = parsed(rollouts, ["graphgpo"], tasks=["3"]).data("task-0")
    level = task["why"]["graphgpo"]["terms"][0]["levels"][0]
    for step in (0, 17, 100):
        told = rollouts.explain(task["steps"]["row"][step]).terms[0].comparisons[0]
        peers = level["sets"][level["set"][step]]
        assert peers["num"] == told.num_peers
        assert peers["mean"] == pytest.approx(told.mean, rel=1e-5)
        assert peers["std"] == pytest.approx(told.std, rel=1e-5)
        assert level["own"][step] == pytest.approx(told.own_score, rel=1e-5)
        assert bool(level["void"][step]) == told.is_void
        listed = {task["steps"]["row"][peer[0]] for peer in peers["peers"]}
        assert listed <= {peer.row for peer in told.peers}
        assert len(listed) == min(MOST_PEERS, told.num_peers)


def test_tasks_on_which_estimators_disagree_come_first() -> None:
    batch = credited(shipped("sokoban"), NAMES)
    counts = [int(batch.disagrees[batch.rows_of(i)].sum()) for i in range(4)]
    order = telling(batch, 4)
    assert [counts[i] for i in order] == sorted(counts, reverse=True)
    assert telling(batch, 2) == order[:2]


def test_a_task_is_asked_for_by_its_id_or_over_all_training_steps() -> None:
    batch = credited(run_of_three_steps("step=1|mug", "step=2|mug", "step=2|cup"), ["grpo"])
    assert named(batch, ["step=2|mug"]) == [1]
    assert named(batch, ["mug", "cup", "mug"]) == [0, 1, 2]
    with pytest.raises(
        UnknownTaskError, match=r"^no task 'step=2\|mog' among the 3; the nearest: "
    ):
        named(batch, ["step=2|mog"])


def test_names_are_read_as_readers_of_files_write_them() -> None:
    from graphgpo.files.rows import group_key

    assert task_name(group_key("a|b%", training_step=7)) == ("a|b%", 7)
    assert task_name(group_key("step=3 of it")) == ("step=3 of it", None)


def test_what_is_left_out_is_said() -> None:
    found = page(maze(641), ["grpo"])
    assert "The 500 most visited of 642 states are drawn." in found
    many = walks(0, 6, MOST_ROLLOUTS + 6, 4)
    assert f"{MOST_ROLLOUTS} of {MOST_ROLLOUTS + 6} rollouts are listed." in page(many, ["grpo"])
    data = parsed(many, ["grpo"]).data("task-0")
    assert len(data["rollouts"]) == MOST_ROLLOUTS
    long = graphgpo.Rollouts(
        [f"room {i}" for i in range(600)] + ["room 0"],
        group_ids=[0] * 601,
        trajectory_ids=[0] * 600 + [1],
        success=[True] * 600 + [False],
    )
    assert "Of 1 rollouts the first 500 steps are listed." in page(long, ["grpo"])


def test_a_long_state_is_cut_and_its_rest_is_counted() -> None:
    rollouts = graphgpo.Rollouts(
        ["x" * 10_000, "y"], group_ids=[0, 0], trajectory_ids=[0, 1], success=[True, False]
    )
    nodes = parsed(rollouts, ["grpo"]).data("task-0")["nodes"]
    assert len(nodes["text"][0]) == 4_000
    assert nodes["left"][0] == 6_000


def test_health_is_shown_over_several_training_steps_only() -> None:
    several = run_of_three_steps("step=1|mug", "step=2|mug", "step=10|mug")
    assert "Over training" in page(several)
    assert "Over training" not in page(run_of_three_steps("step=1|mug", "step=1|cup"))
    health = health_of(credited(several, ["graphgpo"]))
    assert health is not None
    assert health.steps == (1, 2, 10)
    alone = run_of_three_steps("step=2|mug").advantages("graphgpo").metrics
    assert health.values["graphgpo"][1] == {
        name.removeprefix("graphgpo/"): value for name, value in alone.items()
    }
    assert 'aria-label="success_rate: 0.5 at step 1, 0.5 at step 10"' in chart(
        "success_rate", health
    )


def test_problems_are_words() -> None:
    lost = graphgpo.Rollouts(
        [f"{i:02}:00:00 hall" for i in range(4)] * 2,
        group_ids=[0] * 8,
        trajectory_ids=[0] * 4 + [1] * 4,
        success=[False] * 8,
    )
    found = page(lost, NAMES, notes=["3 rollouts were left out: <crashed>."])
    assert "In 1 of 1 tasks no rollout reached the goal." in found
    assert "a clock (timestamps=True) merges 3 of 4 states" in found
    assert "Write <code>normalise={'timestamps': True}</code>." in found
    assert "No step gets credit from grpo, gigpo and graphgpo." in found
    assert "0«1»:00:00 hall" in found
    assert '<b>no success</b><span class="aside">gigpo, graphgpo</span>' in found
    assert "3 rollouts were left out: &lt;crashed&gt;." in found


def test_rollouts_without_a_verdict_have_none() -> None:
    rollouts = graphgpo.Rollouts(
        ["a", "b", "a"], group_ids=[0] * 3, trajectory_ids=[0, 1, 2], success=[True, False, None]
    )
    listed = parsed(rollouts, ["grpo"]).data("task-0")["rollouts"]
    assert [rollout["solved"] for rollout in listed] == [True, False, None]


def test_numbers_that_are_unknown_are_null() -> None:
    assert rounded(float("nan")) is None
    assert rounded(1 / 3) == 0.333333


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"top": 0}, r"^top is 0; expected an int >= 1$"),
        ({"estimators": []}, r"^estimators is empty; expected at least one$"),
        ({"tasks": ["nine"]}, r"^no task 'nine' among the 4; the nearest: '0', '1', '2'$"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        page(shipped("textworld"), **arguments)


def test_rollouts_of_no_step_are_refused() -> None:
    empty = graphgpo.Rollouts(
        ["a"], group_ids=[0], trajectory_ids=[0], success=[True], mask=[False]
    )
    with pytest.raises(ValueError, match=r"^the rollouts have no steps; expected at least one$"):
        page(empty)


def test_of_more_steps_than_are_explained_the_peers_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(why, "MOST_STEPS", 100)
    found = page(shipped("textworld"), tasks=["0"])
    assert "Too many steps to explain each: the peers of a step are left out." in found
    assert set(Page(found).data("task-0")["why"].values()) == {None}


def test_an_estimator_that_compares_across_tasks_is_explained_by_all_of_them() -> None:
    rollouts = shipped("sokoban")
    name = "reinforce_pp"
    task = parsed(rollouts, [name], tasks=["1"]).data("task-0")
    level = task["why"][name]["terms"][0]["levels"][0]
    told = rollouts.explain(task["steps"]["row"][5], name).terms[0].comparisons[0]
    assert level["sets"][level["set"][5]]["num"] == told.num_peers
    assert told.num_peers > len(task["rollouts"])
