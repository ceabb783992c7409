"""What jitcore did: the numbers (`Stats`) and the summary a user reads at the end of a process.

The numbers are plain data without a way back into the engine, so they may be kept, compared and pickled. The
summary is plain text for a terminal, with the few things a user decides on first: how much of the looping ran
natively, what it cost to get there, and what was refused and why.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Protocol

from . import log
from .reasons import Reason
from .records import dataclass, field

ROWS_SHOWN = 12


@dataclass
class RegionRow:
    """One region: where it is and what it has done."""

    name: str
    filename: str
    line: int
    kind: str = "loop"  # 'loop' or 'function'
    bridges: int = 0
    entries: int = 0
    exits: int = 0
    mismatches: int = 0
    compile_seconds: float = 0.0
    code_bytes: int = 0
    state: str = "live"  # 'live', 'replaced', 'invalidated' or 'closed'


@dataclass
class Stats:
    """Counts since the engine was made (times in seconds)."""

    regions: int = 0
    bridges: int = 0
    compile_seconds: float = 0.0
    native_entries: int = 0
    native_exits: int = 0
    interpreted_back_edges: int = (
        0  # backward jumps of loops that the interpreter made while the engine was enabled
    )
    native_back_edges: int | None = 0  # backward jumps in native code; None where they were not counted
    refusals: dict[str, int] = field(default_factory=dict)  # by key of Reason
    mismatches: int = 0
    invalidations: int = 0
    rows: list[RegionRow] = field(default_factory=list)

    @property
    def native_share(self) -> float | None:
        """Share of backward jumps that ran natively, 0 to 1; None where native ones were not counted."""
        if self.native_back_edges is None:
            return None
        total = self.interpreted_back_edges + self.native_back_edges
        return self.native_back_edges / total if total else 0.0

    def __str__(self) -> str:
        return summary(self)


class HasStats(Protocol):
    """What at_exit needs of an engine."""

    def stats(self) -> Stats: ...


def summary(stats: Stats) -> str:
    """The text printed for JITCORE_STATS=1 and --stats; no line end."""
    edges = stats.interpreted_back_edges + (stats.native_back_edges or 0)
    share = stats.native_share
    how = f"{100 * share:.1f}% of them native" if share is not None else "interpreted; native ones: option stats"
    lines = [
        "jitcore summary",
        f"  regions            {stats.regions:>14,}   with {stats.bridges:,} bridges",
        f"  compile time       {stats.compile_seconds:>14.3f}   seconds",
        f"  native entries     {stats.native_entries:>14,}   and {stats.native_exits:,} exits",
        f"  loop iterations    {edges:>14,}   {how}",
        f"  entry mismatches   {stats.mismatches:>14,}   invalidations {stats.invalidations:,}",
    ]
    if stats.rows:
        lines.append("  busiest regions       entries        exits  bridges  compile ms  where")
        for row in sorted(stats.rows, key=lambda r: r.entries, reverse=True)[:ROWS_SHOWN]:
            state = "" if row.state == "live" else f" ({row.state})"
            lines.append(
                f"    {row.kind:<10} {row.entries:>14,} {row.exits:>12,} {row.bridges:>8,}"
                f" {1000 * row.compile_seconds:>11.1f}  {row.name} {_short(row.filename)}:{row.line}{state}"
            )
        if len(stats.rows) > ROWS_SHOWN:
            lines.append(f"    and {len(stats.rows) - ROWS_SHOWN} more")
    if stats.refusals:
        lines.append("  not compiled")
        for key, count in sorted(stats.refusals.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f"    {count:>6,}  {key}: {Reason.from_key(key).sentence}")
    return "\n".join(lines)


def _short(filename: str) -> str:
    """The path as seen from the current folder where that is shorter."""
    try:
        relative = os.path.relpath(filename)
    except (OSError, ValueError):  # the folder is gone, or the name is no path
        return filename
    return relative if len(relative) < len(filename) else filename


_reported: dict[int, HasStats] = {}


def at_exit(engine: HasStats) -> None:
    """Print the engine's summary to stderr when this process ends; once, however often it is called."""
    if id(engine) not in _reported:
        _reported[id(engine)] = engine
        atexit.register(_print, engine, os.getpid())


def _print(engine: HasStats, pid: int) -> None:
    if os.getpid() != pid or sys.stderr is None:
        return  # a forked child inherits the registration but not the wish
    try:
        sys.stderr.write(summary(engine.stats()) + "\n")
        sys.stderr.flush()
    except Exception as error:  # a report that fails must not change how the program ends
        log.say(f"no summary: {type(error).__name__}: {error}")
