"""The registry is complete: every operation says what it is, computes itself and can be lowered."""

from __future__ import annotations

import importlib.util
import inspect

import pytest
from jitcore.optimizer import ops as _ops  # noqa: F401  (fills the registry)
from jitcore.optimizer.ir import REPRS
from jitcore.optimizer.registry import OPS, OpInfo

DOMAINS = {"attr", "names", "dict", "shape", "frame", "list", "item", "field", "ref", "any", "alloc"}


@pytest.mark.parametrize("info", OPS.values(), ids=list(OPS))
def test_declaration(info: OpInfo) -> None:
    assert info.doc, "says what it does"
    assert set(info.operands.rstrip("*")) <= {*REPRS, "?"}
    assert info.operands.count("*") == info.operands.endswith("*")
    assert info.result in ("", *REPRS)
    assert info.reads <= DOMAINS and info.writes <= DOMAINS
    fixed = len(info.operands.rstrip("*"))
    assert all(n == -1 or 0 <= n < fixed and info.operands[n] == "o" for n in info.consumes)
    assert not info.commutes or len(info.operands) == 2 and info.operands[0] == info.operands[1]
    does_something = info.name.startswith("direct.call")  # a callee may have left in its middle
    does_all_or_nothing = info.name in ("frame.link", "frame.offer")
    assert not (info.guard and info.writes) or does_something or does_all_or_nothing, "a guard that fails must have done nothing"


@pytest.mark.parametrize("info", OPS.values(), ids=list(OPS))
def test_evaluator_takes_operands_and_immediates(info: OpInfo) -> None:
    signature = inspect.signature(info.evaluate)
    machine, *rest = signature.parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in rest):
        assert info.operands.endswith("*")
        return
    assert len(rest) == len(info.operands) + len(info.imm)
    assert tuple(p.name for p in rest[len(info.operands) :]) == info.imm


def test_every_operation_has_a_lowering() -> None:
    if importlib.util.find_spec("jitcore.backends.llvm.lower") is None:
        pytest.skip("the LLVM backend is not installed")
    from jitcore.backends.llvm.lower import LOWERINGS

    assert set(LOWERINGS) == set(OPS)
