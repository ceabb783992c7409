"""Where an exit puts its live values: the contract between code that leaves and descriptors that say what is left.

A region of a hundred bytecodes has dozens of exits, and each names about ten values of which all but one or two are those
of the exit before. Written one by one their stores are half of the region's code. So exits share them: a value keeps
its place in the buffer for as long as consecutive exits name it, and the stores common to a range of exits stand in one
block that all of these jump through.

Ranges are the nodes of a binary tree over the exits in their order. A value named by the exits i to j is stored in the
few nodes that make up that range, so with n exits it costs O(log n) stores, however many exits name it, and an exit runs
through as many blocks on its way out. Dominance comes by itself: all exits under a node name its values.

A function for direct calls writes to the log of those that leave instead, a record each, whose words have the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..optimizer.ir import Graph, State, Value

Places = dict[State, tuple[int, ...]]
WORDS = 7
"""The word of a descriptor that says how many words the exit writes (some of which may mean nothing)."""
Store = tuple[Value, int]


def places(graph: Graph) -> Places:
    """The buffer index of each of `state.values()`, for every state of the graph."""
    made: Places = {}
    now: dict[Value, int] = {}
    for state in graph.states():
        if state in made:
            continue
        values = state.values()
        now = {value: now[value] for value in values if value in now}
        taken = set(now.values())
        free = (at for at in range(len(values) + len(taken)) if at not in taken)
        for value in values:
            if value not in now:
                now[value] = next(free)
        made[state] = tuple(now[value] for value in values)
    return made


def words(used: Iterable[tuple[int, ...]]) -> int:
    """How many words the buffer must have."""
    return max((max(row) + 1 for row in used if row), default=0)


W = TypeVar("W")


def share(
    exits: Sequence[Sequence[Store]], node: Callable[[list[W], list[Store]], W], leaf: Callable[[int, list[Store]], W]
) -> list[W]:
    """Distribute the stores of exits, given in order. Calls `leaf(exit, stores)` for what only this exit stores, and
    `node(ways, stores)` for what these ways out, which come first, have in common; both return the way made. Returns
    the ways left at the end."""
    runs: list[tuple[int, int, Store]] = []
    begun: dict[Store, int] = {}
    for at, stores in enumerate(exits):
        here = set(stores)
        for store in [store for store in begun if store not in here]:
            runs.append((begun.pop(store), at, store))
        for store in stores:
            begun.setdefault(store, at)
    runs += [(start, len(exits), store) for store, start in begun.items()]
    return divide(0, len(exits), runs, node, leaf) if exits else []


def divide(
    low: int,
    high: int,
    runs: list[tuple[int, int, Store]],
    node: Callable[[list[W], list[Store]], W],
    leaf: Callable[[int, list[Store]], W],
) -> list[W]:
    """What `share` does, for the exits from low to high and the runs of exits with a store in common that reach in there."""
    own = [store for start, end, store in runs if start <= low and high <= end]
    if high - low == 1:
        return [leaf(low, own)]
    rest = [run for run in runs if not (run[0] <= low and high <= run[1])]
    middle = (low + high) // 2
    ways = divide(low, middle, [run for run in rest if run[0] < middle], node, leaf)
    ways += divide(middle, high, [run for run in rest if run[1] > middle], node, leaf)
    return [node(ways, own)] if own else ways
