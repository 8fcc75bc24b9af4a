"""Four small worlds whose observations are noisy, each with a normaliser written by hand.

A world walks rollouts of a random policy and writes its observations; `clean` is the hand-written
normaliser: it takes the noise and nothing else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Step = tuple[str, str, str]  # state, action, next state


@dataclass(frozen=True)
class World:
    """Rollouts of one world, one row per step."""

    states: list[str]
    next_states: list[str]
    actions: list[str]
    group_ids: list[int]
    trajectory_ids: list[int]
    clean: Callable[[str], str] = field(repr=False)

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "states": self.states,
            "next_states": self.next_states,
            "actions": self.actions,
            "group_ids": self.group_ids,
            "trajectory_ids": self.trajectory_ids,
        }

    def num_nodes(self, normalise: Callable[[str], str]) -> int:
        """Distinct states of all groups, once `normalise` has had them."""
        return len({(g, normalise(s)) for g, s in zip(self.group_ids, self.states, strict=True)})


def _world(
    walk: Callable[[random.Random, int], Iterator[Step]],
    clean: Callable[[str], str],
    *,
    groups: int = 6,
    rollouts: int = 8,
) -> World:
    world = World([], [], [], [], [], clean)
    for trajectory in range(groups * rollouts):
        group = trajectory // rollouts
        for state, action, next_state in walk(random.Random(1000 + trajectory), group):
            world.states.append(state)
            world.actions.append(action)
            world.next_states.append(next_state)
            world.group_ids.append(group)
            world.trajectory_ids.append(trajectory)
    return world


def _clock(seconds: int) -> str:
    hour, minute = divmod(seconds // 60, 60)
    return f"{hour % 24:02}:{minute:02}:{seconds % 60:02}"


# --- a ticket shop ------------------------------------------------------------------------------

NOISES = ("clock", "counter", "session")


def ticket_shop(*noises: str) -> World:
    """Search, pick, pay: tickets 1 to 4 and seats are states, the head of the page is noise."""

    def walk(rng: random.Random, group: int) -> Iterator[Step]:
        session = f"9f3a{rng.getrandbits(48):012x}"
        clock = rng.randrange(40_000)
        page, ticket, seats = "search", 0, 0
        step = 0

        def observe() -> str:
            head = ""
            if "clock" in noises:
                head += f"[2026-11-28 {_clock(clock)}] "
            if "counter" in noises:
                head += f"step {step}/14 "
            if "session" in noises:
                head += f"session={session} "
            lines = {
                "search": f"Tickets for show {group}: train 1, train 2, bus 3, bus 4. Pick one.",
                "ticket": f"You look at ticket {ticket}. Price ${10 * ticket}. Seats: {seats}.",
                "cart": f"In the cart: ticket {ticket}, {seats} seats. Pay or go back.",
                "paid": f"Paid for ticket {ticket}. Thank you!",
            }
            return f"{head}\n{lines[page]}" if head else lines[page]

        while page != "paid" and step < 14:
            before = observe()
            if page == "search":
                choice = rng.randrange(1, 5)
                action, page, ticket, seats = f"pick {choice}", "ticket", choice, 1
            elif page == "ticket":
                action = rng.choice(["more seats", "fewer seats", "to cart", "back"])
                seats = min(3, max(1, seats + {"more seats": 1, "fewer seats": -1}.get(action, 0)))
                page = {"to cart": "cart", "back": "search"}.get(action, page)
            else:
                action = rng.choice(["back", "back", "pay"])
                page = {"back": "ticket", "pay": "paid"}[action]
            step += 1
            clock += rng.randrange(1, 90)
            yield before, action, observe()

    def clean(text: str) -> str:
        return re.sub(r"^\[2026-11-28 [0-9:]+\] |step \d+/14 |session=\w+ ", "", text)

    def clean_all(text: str) -> str:
        while clean(text) != text:
            text = clean(text)
        return text

    return _world(walk, clean_all)


# --- a web page ---------------------------------------------------------------------------------

_ADVERTISEMENTS = [
    f"{how} {what} {where}!"
    for how in ("Fresh", "Cheap", "Fast", "New", "Last")
    for what in ("coffee", "shoes", "flights", "phones")
    for where in ("near you", "in town", "today only", "at Bean's", "with free delivery")
]


def web_page() -> World:
    """A product with sizes and a coupon: the advertisement rotates, the price decides."""

    def walk(rng: random.Random, group: int) -> Iterator[Step]:
        size, coupon, page = 1, False, "product"

        def price() -> int:
            return 10 * size - (4 if coupon else 0)

        def observe() -> str:
            advertisement = rng.choice(_ADVERTISEMENTS)
            if page == "product":
                body = f"Mug number {group}\nPrice: {price()} dollars\n[size] [coupon] [buy]"
            else:
                fits = "within" if price() <= 16 else "over"
                body = f"Order placed, {fits} the budget."
            return f"Shop of the world\nSponsored: {advertisement}\n{body}\nImprint"

        state = observe()
        for _ in range(16):
            action = rng.choice(["size", "size", "coupon", "look", "look", "buy"])
            if action == "size":
                size = size % 3 + 1
            elif action == "coupon":
                coupon = not coupon
            elif action == "buy":
                page = "placed"
            next_state = observe()
            yield state, action, next_state
            if page == "placed":
                return
            state = next_state

    return _world(walk, lambda text: re.sub(r"Sponsored: .*", "", text))


# --- a shell ------------------------------------------------------------------------------------


def shell() -> World:
    """Folders and one job: times and process ids are noise, paths and exit codes are not."""
    folders = ["/home/ann", "/home/ann/src", "/home/ann/src/core", "/var/log", "/tmp"]

    def walk(rng: random.Random, group: int) -> Iterator[Step]:
        at, is_running = 0, False
        clock = rng.randrange(80_000)

        def observe(code: int) -> str:
            job = f"job running, pid {rng.randrange(1000, 60000)}" if is_running else "no job"
            return (
                f"exit code {code} at {_clock(clock)}\n{job}\n"
                f"ann@host{group}:{folders[at]}$ (last login Nov 28 {_clock(clock // 7)})"
            )

        state = observe(0)
        for _ in range(20):
            target = rng.randrange(len(folders))
            action = rng.choice([f"cd {folders[target]}", "make &", "kill %1", "false"])
            code = 0
            if action.startswith("cd"):
                at = target
            elif action == "make &":
                code = 2 if at not in (1, 2) else 0
                is_running = is_running or code == 0
            elif action == "kill %1":
                code = 0 if is_running else 1
                is_running = False
            else:
                code = 1
            clock += rng.randrange(1, 500)
            next_state = observe(code)
            yield state, action, next_state
            state = next_state

    def clean(text: str) -> str:
        text = re.sub(r"pid \d+", "pid", text)
        return re.sub(r"at [0-9:]+\n|Nov 28 [0-9:]+", "", text)

    return _world(walk, clean)


# --- a board game -------------------------------------------------------------------------------


def board_game() -> World:
    """A piece on a board of 6 x 6, with a score beside it: no noise, and all states are alike."""

    def walk(rng: random.Random, group: int) -> Iterator[Step]:
        x, y, keys = rng.randrange(6), group % 6, 0

        def observe() -> str:
            rows = [" ".join("@" if (i, j) == (x, y) else "." for i in range(6)) for j in range(6)]
            return f"keys: {keys}\n" + "\n".join(rows)

        for _ in range(20):
            before = observe()
            action = rng.choice(["left", "right", "up", "down", "take"])
            x = min(5, max(0, x + {"left": -1, "right": 1}.get(action, 0)))
            y = min(5, max(0, y + {"up": -1, "down": 1}.get(action, 0)))
            if action == "take" and x == y:
                keys = min(3, keys + 1)
            yield before, action, observe()

    return _world(walk, lambda text: text)


def numbered_rooms() -> World:
    """Rooms and trains told apart by their number alone."""

    def walk(rng: random.Random, group: int) -> Iterator[Step]:
        room = rng.randrange(9)
        for _ in range(15):
            before = f"You are in room {room} of house {group}."
            action = rng.choice(["east", "west", "wait"])
            room = (room + {"east": 1, "west": -1, "wait": 0}[action]) % 9
            yield before, action, f"You are in room {room} of house {group}."

    return _world(walk, lambda text: text)


def trains() -> World:
    """Train 1 goes to Basel and train 2 to Bern; which one stands there is chance."""

    def walk(rng: random.Random, group: int) -> Iterator[Step]:
        train = rng.randrange(1, 3)
        state = f"Platform {group}. Train {train} is boarding."
        for _ in range(12):
            action = rng.choice(["wait", "wait", "board"])
            if action == "board":
                yield state, action, f"You arrive in {['Basel', 'Bern'][train - 1]}."
                return
            train = rng.randrange(1, 3)
            next_state = f"Platform {group}. Train {train} is boarding."
            yield state, action, next_state
            state = next_state

    return _world(walk, lambda text: text)


def with_success(world: World, wins: Callable[[str], bool]) -> dict[str, Any]:
    """Its columns, with the success of rollouts whose last state wins."""
    num_rows = len(world.states)
    ids = world.trajectory_ids
    is_last = [row + 1 == num_rows or ids[row] != ids[row + 1] for row in range(num_rows)]
    return {
        **world.columns,
        "success": [
            last and wins(state) for last, state in zip(is_last, world.next_states, strict=True)
        ],
    }
