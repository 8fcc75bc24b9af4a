"""What each problem means and what to do: the text behind `Problem.link`."""

from __future__ import annotations

PAGES: dict[str, str] = {
    "noise": r"""
States that should be one differ by a clock, a counter, an id, an advertisement. Two rows are one
node only where their states are equal, so every step is alone, or meets others at the same turn
only, and its credit is lost. Pass what the problem says to write, `normalise={...}`: it takes the
stretches out of states and next states alike. It is suggested only where steps that it merges went
on alike after the same action; look at the two states shown, and keep what matters with `keep`.
Better still: do not write the counter into the state.""",
    "one position": """
States recur, but never at two positions of a rollout. A step counter does that, a remaining budget,
or the history in the state: rollouts then meet at the same turn and nowhere else, and merge_ratio
looks fine while most credit is gone. All is well only where no state can be come back to, as when
every action adds a line to a document. Take the counter out, or let `normalise=` do it.""",
    "lone states": """
Most steps start from a state that no other step of the task starts from, and nothing is known that
merges them without merging true differences. Pass `actions`: with them more can be told apart. Is
the history in the state, or the model's own text? A state is what decides what happens next, and
nothing else.""",
    "merged differences": r"""
States that differ were made one, by `normalise=` or `similar=`, and it mattered: after the same
action they lead to two states, or what is done decides which of them comes next. "train 1" and
"train 2" are such states without their numbers. Write what the problem says, or name what must
stay: `normalise={"numbers": True, "keep": [r"train \d+"]}`.
Similarity is wrong for boards and tables, whose states are all alike.""",
    "several outcomes": """
The same action in the same state led to several states. Either the environment rolls dice: then an
edge is credited with the best that followed it, and luck looks like skill. Or the observation hides
what decides, as a maze seen from inside: put it into the state, or let `node_history=2` make a node
of the last two states; fewer rollouts then share one.""",
    "no choice": """
No step's credit differs from 0 though rollouts succeeded. Either states never recur (look at
singleton_share), or no state was left in two ways, as when all rollouts are the same: then the task
is learnt, or the policy's temperature is too low.""",
    "no success": """
No rollout reached the goal, so no state has a distance to it and no step earns credit. Either the
policy does not solve the tasks yet, or the success flag is lost on the way: rewards above 0 beside
it prove that.""",
    "one state": """
All steps of a task start in one state: an empty observation, a constant, or the task's prompt in
place of what the environment showed.""",
    "single rollouts": """
Every task has one rollout, and credit comes from comparing rollouts of one task. Play each task
several times under one group id: no fresh uuid for each rollout.""",
    "no flags": """
A penalty for invalid actions is on, but no step says whether its action was valid. Pass
`action_valid`, or leave the penalty at 0.""",
    "spread of noise": """
Spread credit rewards a step for leading where its peers rarely lead. Here most of that is not the
policy's doing: the same action leads to ever other states, as with a clock in the observation.
Take the noise out of the states, or count actions in their place: `spread_actions=True`.""",
    "masked inside": """
Rows that the mask hides lie between two steps of a rollout. Without next_states the step before
them is taken to lead to the state after them. Give next_states or step_ids, or unmask them.""",
    "ends at a start": """
Failed rollouts end in a state that rollouts start from: the environment resets itself, and its
observation after the last step is the next episode's first. Record the one before the reset, which
most environments hand out as the final observation, or None.""",
    "tokens without step": """
Tokens that the policy wrote are in no step's start..stop and get advantage 0. Positions count from
the first token of the response, and stop is the first token that is no longer the step's.""",
}
"""By name, in the order in which they are printed."""


def page(name: str) -> str:
    """The text of one problem; its name with blanks or hyphens.

    >>> page("no-flags").splitlines()[0]
    'no flags'
    """
    name = name.replace("-", " ")
    if name not in PAGES:
        raise KeyError(f"no problem is called {name!r}; expected one of {', '.join(PAGES)}")
    return f"{name}\n{PAGES[name]}"
