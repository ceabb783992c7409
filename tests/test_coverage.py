"""docs/coverage.md tells the truth: every bytecode of this interpreter is listed, with what its function really does."""

from __future__ import annotations

import dis
import pathlib
import sys

import pytest
from jitcore.tracing import coverage
from jitcore.tracing.bytecode_table import HANDLERS, refusal
from jitcore.tracing.bytecodes import HANDLERS as FILLED
from jitcore.tracing.opcodes import NAMES, VERSIONS

from jitcore.reasons import Reason

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "coverage.md"
RUNNING = "{}.{}".format(*sys.version_info[:2])
FIRST_PSEUDO = 256


def test_the_names_are_those_of_this_interpreter() -> None:
    mine = {name for name, number in dis.opmap.items() if number < FIRST_PSEUDO and not name.startswith("INSTRUMENTED_")}
    assert {name for name, versions in NAMES.items() if RUNNING in versions} == mine
    assert RUNNING in VERSIONS and all(set(versions) <= set(VERSIONS) for versions in NAMES.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_bytecode_has_its_row(name: str) -> None:
    how = coverage.status(name)
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[5] == how and [v for v, cell in zip(VERSIONS, cells[1:5], strict=True) if cell] == list(NAMES[name])
    assert (how in ("refused", "internal")) == (name not in HANDLERS)
    if how == "refused":
        assert Reason.from_key(cells[6].strip("`")) is Reason.from_key(refusal(name))


def test_the_page_is_current() -> None:
    assert FILLED is HANDLERS
    assert PAGE.read_text() == coverage.markdown(), "python -m jitcore --coverage > docs/coverage.md"


def test_every_function_is_for_a_bytecode_of_some_version() -> None:
    forms = {"LOAD_CONST_IMMORTAL", "LOAD_CONST_MORTAL", "STORE_FAST_MAYBE_NULL"}
    assert set(HANDLERS) - set(NAMES) <= forms


def test_statuses_are_found_by_what_functions_call() -> None:
    assert coverage.status("LOAD_FAST") == "native"
    assert coverage.status("BINARY_OP") == "native, call"
    assert coverage.status("STORE_GLOBAL") == "native, call"
    assert coverage.status("LOAD_ATTR") == "native, call"
    assert coverage.status("SEND") == "refused" and refusal("SEND") == "generator"
