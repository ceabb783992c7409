"""The command line: `python -m bench` (see docs/bench.md)."""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import sys
from collections.abc import Callable

from . import configurations as known
from . import page, report, runner


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure plain Python, jitcore and what else this machine has, side by side.",
    )
    parser.add_argument(
        "--programs", action="store_true", help="programs of pyperformance instead of the kernels"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, plain and jitcore only: a check for CI"
    )
    parser.add_argument(
        "--filter", default="", metavar="NAMES", help="only these: parts of names or patterns, a,b,c*"
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="fresh processes per task and configuration"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds at steady state in each process")
    parser.add_argument("--only", default="", metavar="NAMES", help="only these configurations (and plain)")
    parser.add_argument("--no-peers", action="store_true", help="plain and jitcore only")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="one more: '3.15-jit=PYTHON_JIT=1 python3.15'",
    )
    parser.add_argument("--json", metavar="FILE", help="keep everything as JSON")
    parser.add_argument("--html", metavar="FILE", help="write a page with plots")
    parser.add_argument("--pyperf", metavar="FOLDER", help="write pyperf files, one per configuration")
    parser.add_argument("--show", metavar="FILE", help="measure nothing: show a run kept with --json")
    parser.add_argument("--list", action="store_true", help="list tasks and configurations")
    return parser


def chooser(text: str) -> Callable[[str], bool]:
    """What `--filter` means: any of the parts is in the name, or matches it as a pattern; empty takes all."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return lambda name: not parts or any(part in name or fnmatch.fnmatch(name, part) for part in parts)


def main() -> int:
    parser = arguments()
    chosen = parser.parse_args()
    if chosen.show:
        with open(chosen.show) as file:
            return show(json.load(file), chosen)
    if chosen.programs and chosen.quick:
        parser.error("--quick is for the kernels")
    try:
        given = [known.from_text(text) for text in chosen.peer]
        wanted = chooser(chosen.filter)
        tasks = runner.program_tasks(wanted) if chosen.programs else runner.kernel_tasks(wanted, chosen.quick)
    except (ValueError, RuntimeError) as error:
        parser.error(str(error))
    configurations = known.own(at_once=chosen.quick)
    if not (chosen.quick or chosen.no_peers):
        configurations += [peer for peer in known.peers() if peer.for_programs or not chosen.programs]
    configurations += given
    if chosen.only:
        only = chooser(chosen.only)
        configurations = [c for c in configurations if c.name == known.PLAIN or only(c.name)]
    if len({c.name for c in configurations}) < len(configurations):
        parser.error("two configurations have the same name")
    if chosen.list:
        print("tasks          ", ", ".join(task.name for task in tasks))
        print("configurations ", ", ".join(c.name for c in configurations))
        return 0
    missing = runner.left_out(wanted) if chosen.programs else []
    if missing:
        print(f"left out, with the packages they need: {', '.join(missing)}", file=sys.stderr)
    if not tasks:
        parser.error(f"no task is called like {chosen.filter!r}")
    settings = runner.QUICK if chosen.quick else runner.Settings()
    changes = {
        name: getattr(chosen, name) for name in ("processes", "rounds") if getattr(chosen, name) is not None
    }
    if any(value < 1 for value in changes.values()):
        parser.error("--processes and --rounds take whole numbers from 1")
    settings = dataclasses.replace(settings, **changes)
    with report.Progress(len(tasks) * len(configurations) * settings.processes) as progress:
        results = runner.run(tasks, configurations, settings, progress)
    status = show(runner.document(tasks, configurations, settings, results), chosen)
    wrong = runner.failures(tasks, results, need_regions=chosen.quick)
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else status


def show(document: report.Document, chosen: argparse.Namespace) -> int:
    """Print the table and write the files that were asked for."""
    report.print_table(document)
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump(document, file, indent=1)
    if chosen.html:
        with open(chosen.html, "w") as file:
            file.write(page.page(document))
    if chosen.pyperf:
        try:
            report.write_pyperf(document, chosen.pyperf)
        except ImportError:
            print("--pyperf needs pyperf: pip install pyperf", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
