"""The results as one HTML file that needs nothing else: the table, and plots as inline SVG.

Plots: how many times as fast as the plain interpreter at steady state and in the first second, as bars on a
logarithmic scale that begin at 1; and for every task how the time of a call falls while a process warms up.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from typing import Any

from .report import HEAD, Document, blocks

COLOURS = ("#1f6feb", "#d9822b", "#2da44e", "#8250df", "#cf222e", "#57606a", "#0598bc")
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em;
  color: #1f2328 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .15em .7em; text-align: right } td:first-child, th:first-child { text-align: left }
tr.task td { font-weight: 600; border-top: 1px solid #d0d7de; padding-top: .5em } tr.bad td { color: #cf222e }
svg { display: block } svg text { font: 11px system-ui, sans-serif; fill: #1f2328 } .note { color: #57606a }
.small { display: flex; flex-wrap: wrap; gap: 1em } .key span { margin-right: 1.2em }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3 } svg text { fill: #e6edf3 } td { border-color: #30363d }
}
"""


def page(document: Document) -> str:
    """The whole file."""
    names = [c["name"] for c in document["configurations"]]
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    machine = document["machine"]
    compared = [name for name in names if name != "plain"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'><title>jitcore benchmarks</title>",
        f"<style>{STYLE}</style><h1>jitcore benchmarks</h1>",
        f"<p class=note>{_text(document['made'])}, {_text(machine['processor'])}, {machine['cpus']} CPUs,"
        f" {_text(machine['system'])}, load {machine['load'][0]:.1f}</p>",
        "<p class=key>" + "".join(f"<span>{_swatch(colours[n])} {_text(n)}</span>" for n in names) + "</p>",
        "<h2>Steady state, times as fast as plain</h2>",
        bars(document, compared, colours, "steady_ratio"),
        "<h2>First second, times as much done as by plain</h2>",
        bars(document, compared, colours, "first_second_ratio"),
        "<h2>Warm-up</h2><p class=note>Time of a call against CPU time since the start of the first, both"
        " logarithmic.</p><div class=small>",
        *(curve(document, task["name"], colours) for task in document["tasks"]),
        "</div><h2>All numbers</h2>",
        *_table(document),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def bars(document: Document, names: list[str], colours: dict[str, str], key: str) -> str:
    """Bars of one ratio, a group to a task; the scale is logarithmic; left of 1 is slower than plain."""
    found = {
        (r["task"], r["configuration"]): r[key] for r in document["results"] if r[key] and not r["problem"]
    }
    if not found:
        return "<p>Nothing to show.</p>"
    left, width, thick, gap = 130, 620, 12, 10
    low = min(0.5, *found.values())
    high = max(2.0, *found.values()) * 1.15

    def x(value: float) -> float:
        return left + width * math.log(value / low) / math.log(high / low)

    out = []
    y = 20.0
    for task in document["tasks"]:
        out.append(f"<text x='{left - 8}' y='{y + 10:.0f}' text-anchor='end'>{_text(task['name'])}</text>")
        for name in names:
            value = found.get((task["name"], name))
            if value is not None:
                begin, end = sorted((x(1.0), x(value)))
                out.append(
                    f"<rect x='{begin:.1f}' y='{y:.1f}' width='{max(end - begin, 1):.1f}'"
                    f" height='{thick - 2}'"
                    f" fill='{colours[name]}'><title>{_text(name)}: {value:.2f}</title></rect>"
                    f"<text x='{max(end, x(1.0)) + 4:.1f}' y='{y + 9:.1f}'>{value:.3g}</text>"
                )
            y += thick
        y += gap
    grid = [t for t in (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= t <= high]
    lines = "".join(
        f"<line x1='{x(t):.1f}' x2='{x(t):.1f}' y1='16' y2='{y:.0f}' stroke='#8888'"
        f" stroke-width='{2 if t == 1 else 0.5}'/>"
        f"<text x='{x(t):.1f}' y='11' text-anchor='middle'>{t:g}</text>"
        for t in grid
    )
    return f"<svg width='{left + width + 60}' height='{y:.0f}'>{lines}{''.join(out)}</svg>"


def curve(document: Document, task: str, colours: dict[str, str]) -> str:
    """The small warm-up plot of one task: first sample of each configuration."""
    width, height, edge = 250, 120, 18
    lines = {}
    for result in document["results"]:
        if result["task"] == task and result["samples"]:
            ends = result["samples"][0]["ends"]
            calls = [max(now - before, 1e-7) for before, now in zip([0.0, *ends], ends)]
            lines[result["configuration"]] = _thinned(list(zip(ends, calls)))
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    x_low, x_high = _range([p[0] for p in points])
    y_low, y_high = _range([p[1] for p in points])

    def place(point: tuple[float, float]) -> str:
        x = edge + (width - 2 * edge) * (math.log(max(point[0], 1e-7)) - x_low) / (x_high - x_low)
        y = height - edge - (height - 2 * edge) * (math.log(point[1]) - y_low) / (y_high - y_low)
        return f"{x:.1f},{y:.1f}"

    drawn = "".join(
        f"<polyline points='{' '.join(place(p) for p in line)}' fill='none' stroke='{colours[name]}'"
        f" stroke-width='1.5'/><circle cx='{place(line[0]).partition(',')[0]}'"
        f" cy='{place(line[0]).partition(',')[2]}' r='2.5' fill='{colours[name]}'/>"
        for name, line in lines.items()
    )
    frame = f"<rect x='.5' y='.5' width='{width - 1}' height='{height - 1}' fill='none' stroke='#8884'/>"
    return (
        f"<svg width='{width}' height='{height}'>{frame}<text x='6' y='13'>{_text(task)}</text>{drawn}</svg>"
    )


def _range(values: list[float]) -> tuple[float, float]:
    low, high = (math.log(max(value, 1e-7)) for value in (min(values), max(values)))
    return (low, high) if high - low > 0.1 else (low - 0.5, high + 0.5)


def _thinned(line: list[tuple[float, float]], most: int = 150) -> list[tuple[float, float]]:
    """At most about `most` points: all of the first ones, then ever fewer."""
    kept = []
    wanted = 0.0
    for k, point in enumerate(line):
        if k >= wanted:
            kept.append(point)
            wanted = max(k + 1, wanted * (1 + 6 / most))
    return kept


def _table(document: Document) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{_text(name)}</th>" for name in HEAD) + "</tr>"
    for title, block in blocks(document):
        yield f"<tr class=task><td colspan={len(HEAD)}>{_text(title)}</td></tr>"
        for line, problem in block:
            yield "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in line) + "</tr>"
            if problem is not None:
                yield f"<tr class=bad><td colspan={len(HEAD)}>{_text(problem)}</td></tr>"
    yield "</table>"


def _swatch(colour: str) -> str:
    return f"<svg width=10 height=10 style='display:inline'><rect width=10 height=10 fill='{colour}'/></svg>"


def _text(value: Any) -> str:
    return html.escape(str(value))
