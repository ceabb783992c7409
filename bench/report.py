"""Shows results: a table for the terminal (by rich where it is installed), JSON, and pyperf's own files.

All of it works on the plain data of `runner.document`, so that a saved run can be shown again: `--show FILE`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]

HEAD = (
    "",
    "first call",
    "x",
    "1st second x",
    "start x",
    "steady",
    "x",
    "peak MB",
    "more",
    "regions",
    "compile",
)


def seconds(value: float | None) -> str:
    """A time for people: three digits and a unit."""
    if value is None:
        return ""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 1 or unit == "us":
            return f"{value * factor:.3g} {unit}" if value * factor < 1000 else f"{value * factor:.0f} {unit}"
    raise AssertionError("unreachable")


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def megabytes(value: int | None) -> str:
    return "" if value is None else f"{value / 1e6:.1f}"


def cells(result: dict[str, Any]) -> list[str]:
    """One line of the table, without its problem."""
    jit = result["jit"] or {}
    plain = result["configuration"] == "plain"
    return [
        result["configuration"],
        seconds(result["first_call"]),
        "" if plain else ratio(result["first_call_ratio"]),
        "" if plain else ratio(result["first_second_ratio"]),
        "" if plain else ratio(result["start_ratio"]),
        seconds(result["steady"]),
        "" if plain else ratio(result["steady_ratio"]),
        megabytes(result["peak_bytes"]),
        "" if plain else megabytes(result["more_bytes"]),
        str(jit["regions"]) if jit else "",
        seconds(jit["compile_seconds"]) if jit else "",
    ]


def mean_cells(mean: dict[str, Any]) -> list[str]:
    first, steady = ratio(mean["first_second_ratio"]), ratio(mean["steady_ratio"])
    return [f"{mean['configuration']} ({mean['tasks']})", "", "", first, "", "", steady, "", "", "", ""]


def blocks(document: Document) -> Iterator[tuple[str, list[tuple[list[str], str | None]]]]:
    """The table in blocks, one per task and per mean: (title, lines); a line is (cells, problem or None)."""
    for task in document["tasks"]:
        rows = [r for r in document["results"] if r["task"] == task["name"]]
        size = "" if task["size"] is None else f" {task['size']:,}"
        yield task["name"] + size, [(cells(row), row["problem"]) for row in rows]
    for group in dict.fromkeys(mean["group"] for mean in document["means"]):
        rows = [m for m in document["means"] if m["group"] == group]
        yield f"geometric mean, {group}", [(mean_cells(row), None) for row in rows]


def text_table(document: Document) -> str:
    """The table as plain text; no line end."""
    shown = list(blocks(document))
    lines = [HEAD, *(line for _, block in shown for line, _ in block)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEAD))]

    def row(line: list[str] | tuple[str, ...]) -> str:
        first = line[0].ljust(widths[0])
        return "  ".join(["  " + first, *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]).rstrip()

    out = [row(HEAD)]
    for title, block in shown:
        out.append(title)
        for line, problem in block:
            out.append(row(line))
            if problem is not None:
                out.append(f"    ! {problem}")
    return "\n".join(out)


def print_table(document: Document) -> None:
    """The table to stdout; coloured where rich is installed and stdout is a terminal wide enough."""
    try:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table
    except ImportError:
        print(text_table(document))
        return
    console = Console()
    if not console.is_terminal or console.width < 100:
        print(text_table(document))
        return
    table = Table(*HEAD, box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for title, block in blocks(document):
        table.add_row(f"[bold cyan]{escape(title)}[/]")
        for line, problem in block:
            table.add_row("  " + escape(line[0]), *line[1:6], f"[bold]{line[6]}[/]", *line[7:])
            if problem is not None:
                table.add_row(f"  [red]! {escape(problem)}[/]")
    console.print(table)


class Progress:
    """Says what is measured and how much is left: on a terminal a bar by rich, or lines; else nothing."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            try:
                from rich.console import Console
                from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
                from rich.progress import Progress as Bar
            except ImportError:
                return self
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task("", total=self.total)
            self.bar.start()
        return self

    def __call__(self, what: str) -> None:
        """`what` begins."""
        if self.bar is not None:
            self.bar.update(self.task, description=what, completed=self.done)
        elif sys.stderr.isatty():
            print(f"{self.done:4}/{self.total} {what}", file=sys.stderr)
        self.done += 1

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.stop()


def write_pyperf(document: Document, folder: str) -> list[str]:
    """The steady rounds as one pyperf file per configuration in `folder`, for `pyperf compare_to`; the paths.

    Raises ImportError where pyperf is not installed.
    """
    import importlib

    pyperf: Any = importlib.import_module("pyperf")

    os.makedirs(folder, exist_ok=True)
    paths = []
    for configuration in document["configurations"]:
        benchmarks = []
        for result in document["results"]:
            if result["configuration"] != configuration["name"] or result["problem"] is not None:
                continue
            metadata = {"name": result["task"], "python_version": result["python"], "unit": "second"}
            runs = [
                pyperf.Run(
                    sample["rounds"],
                    warmups=[(1, sample["ends"][0])],
                    metadata={**metadata, "loops": sample["calls_per_round"]},
                    collect_metadata=False,
                )
                for sample in result["samples"]
            ]
            benchmarks.append(pyperf.Benchmark(runs))
        if benchmarks:
            path = os.path.join(folder, re.sub(r"[^\w.-]", "_", configuration["name"]) + ".json")
            pyperf.BenchmarkSuite(benchmarks).dump(path, replace=True)
            paths.append(path)
    return paths
