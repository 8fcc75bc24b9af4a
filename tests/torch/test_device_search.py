"""What the kernel is handed: a stand-in reads the same addresses and searches in plain Python."""

from __future__ import annotations

import contextlib
import ctypes
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from graphgpo.torch import device
from graphgpo.torch.device import distances


def memory(address: int, kind: Any, length: int) -> NDArray[Any]:
    """The array at an address."""
    return np.ctypeslib.as_array((kind * length).from_address(address))


class StandIn:
    """Sweeps over the edges it finds at the addresses, as far as `cpp/cuda/search.hpp` says."""

    def __init__(self, num_nodes: int) -> None:
        self.num_nodes = num_nodes

    def search_from_goals(self, **at: int) -> None:
        groups, nodes = at["num_groups"], self.num_nodes
        whole, real = ctypes.c_int32, ctypes.c_double
        node_offsets = memory(at["node_offsets"], whole, groups + 1)
        edge_offsets = memory(at["edge_offsets"], whole, nodes + 1)
        edges = int(edge_offsets[-1])
        sources = memory(at["edge_sources"], whole, edges)
        costs = memory(at["edge_costs"], real, edges)
        goals = memory(at["goals"], whole, groups)
        found = memory(at["distances"], real, nodes)
        assert node_offsets[0] == edge_offsets[0] == 0
        assert node_offsets[-1] == nodes
        assert np.isinf(found).all()
        assert (memory(at["queued_in"], whole, nodes) == -1).all()
        assert not memory(at["queue_sizes"], whole, 3 * (groups + 1)).any()
        for frontier in ("frontier", "next_frontier"):
            memory(at[frontier], whole, nodes)[:] = 0  # may be written
        assert at["stream"] == 7
        for group, goal in enumerate(goals):
            if goal < 0:
                continue
            own = range(node_offsets[group], node_offsets[group + 1])
            assert goal in own
            found[goal] = 0.0
            for _ in own:
                for node in own:
                    for edge in range(edge_offsets[node], edge_offsets[node + 1]):
                        assert sources[edge] in own
                        offer = found[node] + costs[edge]
                        found[sources[edge]] = min(found[sources[edge]], offer)


@pytest.mark.parametrize("seed", range(8))
def test_a_search_from_what_the_kernel_is_handed_finds_what_sweeps_find(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 9, 5)
    ends = sizes.cumsum()
    node_group = torch.from_numpy(np.repeat(np.arange(5), sizes))
    group = random.integers(0, 5, 60)
    source, target = (
        torch.from_numpy(ends[group] - 1 - random.integers(0, sizes[group])) for _ in range(2)
    )
    cost = torch.from_numpy(random.integers(1, 13, 60) / 10)
    goals = torch.from_numpy(np.where(random.random(5) < 0.7, ends - 1, -1))
    expected = distances.distances_to_goals(source, target, cost, goals, node_group)

    def on_no_device(device: torch.device) -> Any:
        return contextlib.nullcontext()

    monkeypatch.setattr(torch.cuda, "device", on_no_device)
    stream = SimpleNamespace(cuda_stream=7)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    found = distances._searched(StandIn(len(node_group)), source, target, cost, goals, node_group)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert math.inf in found.tolist()


# --- the kernel's module, where this build has it -------------------------------------------------


ADDRESSES = (
    "edge_offsets",
    "edge_sources",
    "edge_costs",
    "goals",
    "node_offsets",
    "distances",
    "queued_in",
    "frontier",
    "next_frontier",
    "queue_sizes",
    "stream",
)


def test_an_address_that_is_not_aligned_is_refused_before_the_gpu_sees_it() -> None:
    kernel = pytest.importorskip("graphgpo._cuda", reason="built without GRAPHGPO_CUDA")
    aligned: dict[str, int] = {"num_groups": 0, **dict.fromkeys(ADDRESSES, 64)}
    assert kernel.search_from_goals(**aligned) is None  # no groups, no search
    for name, size in (("edge_costs", 8), ("distances", 8), ("goals", 4), ("queue_sizes", 4)):
        text = f"^{name} is at address {64 + size // 2}; expected a multiple of {size}$"
        with pytest.raises(ValueError, match=text):
            kernel.search_from_goals(**{**aligned, name: 64 + size // 2})


def test_without_a_gpu_the_kernel_says_so() -> None:
    kernel = pytest.importorskip("graphgpo._cuda", reason="built without GRAPHGPO_CUDA")
    if device.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match=r"^CUDA refused the search: cuda"):
        kernel.search_from_goals(num_groups=1, **dict.fromkeys(ADDRESSES, 0))
