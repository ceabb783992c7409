"""The passes and what runs them.

Each pass is a function from a graph to the number of changes it made, in a module of its own, linear or
close to it and without recursion over the graph. `run` applies them in the order asked for and adds the
seconds of each to a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from ..ir import Graph
from .dce import dce
from .fold import fold
from .gvn import gvn
from .hoist import hoist
from .jumps import jumps
from .ranges import ranges
from .refcount import refcount
from .virtuals import virtuals

Pass = Callable[[Graph], int]

PASSES: dict[str, Pass] = {
    "fold": fold,
    "virtuals": virtuals,
    "gvn": gvn,
    "ranges": ranges,
    "hoist": hoist,
    "jumps": jumps,
    "refcount": refcount,
    "dce": dce,
}

ALL = ("fold", "virtuals", "gvn", "ranges", "fold", "jumps", "hoist", "refcount", "dce")
"""What `all` runs. Folding comes twice: numbering makes operands equal, and both it and ranges make conditions known. What is
moved out of loops is what these have left in them."""


def chosen(names: Sequence[str]) -> list[str]:
    """The passes that names stand for, in their order: 'all' for ALL, '-name' for none of that name; names that only leave
    out are taken from ALL. Raises ValueError for an unknown name."""
    unknown = [name for name in names if name != "all" and name.removeprefix("-") not in PASSES]
    if unknown:
        raise ValueError(f"unknown passes {unknown}; there are {', '.join(PASSES)}")
    without = {name[1:] for name in names if name.startswith("-")}
    wanted = [name for name in names if not name.startswith("-")]
    if not wanted and without:
        wanted = ["all"]
    every = [each for name in wanted for each in (ALL if name == "all" else (name,))]
    return [name for name in every if name not in without]


def run(
    graph: Graph,
    passes: str | Sequence[str] = "all",
    timings: dict[str, float] | None = None,
    check: bool = False,
    allow: Callable[[str], bool] | None = None,
) -> int:
    """Apply passes: names as `chosen` takes them, in a sequence or separated by commas. Returns the number of
    changes; `timings` collects seconds by pass. With `check` the graph is verified after each that says it changed something,
    and after the first and the last in any case (VerifyError names the pass). A pass that `allow` refuses is left out. Raises
    ValueError for an unknown name, before anything is changed."""
    if isinstance(passes, str):
        passes = [name.strip() for name in passes.split(",") if name.strip()]
    passes = chosen(passes)
    if check:
        from ..verify import VerifyError, verify
    changes = 0
    for at, name in enumerate(passes):
        if allow is not None and not allow(name):
            continue
        start = perf_counter()
        made = PASSES[name](graph)
        changes += made
        if timings is not None:
            timings[name] = timings.get(name, 0.0) + perf_counter() - start
        if check and (made or at in (0, len(passes) - 1)):
            try:
                verify(graph)
            except VerifyError as error:
                raise VerifyError(f"after {name}: {error}") from None
    return changes
