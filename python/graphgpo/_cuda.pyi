"""The search of graphgpo.torch.device on NVIDIA GPUs. Private; of builds with GRAPHGPO_CUDA."""

def search_from_goals(
    *,
    edge_offsets: int,
    edge_sources: int,
    edge_costs: int,
    goals: int,
    node_offsets: int,
    num_groups: int,
    distances: int,
    queued_in: int,
    frontier: int,
    next_frontier: int,
    queue_sizes: int,
    stream: int,
) -> None: ...
