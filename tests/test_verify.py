"""The verifier accepts what the rules allow and names the operation that breaks one."""

from __future__ import annotations

import pytest
from jitcore.optimizer.text import Symbols, parse
from jitcore.optimizer.verify import VerifyError, verify


def sample(a: object, b: object) -> object:
    return a


def check(body: str) -> None:
    verify(parse('graph "g"\n' + body, Symbols(f=sample.__code__, func=sample, o=object())))


HERE = "frame @f+4 call 4 {} []"
NEXT = "frame @f+6 call 4 {} []"
EXIT = f'exit resume after "end" {NEXT}'


def test_accepts() -> None:
    check(f"""
      block a():
        %0:o = frame.local [slot=0]
        %1:i = obj.unbox_int %0 else resume before "t" {HERE}
        jump b(%1)
      block b(%2:i):
        %3:i = int.add_ovf %2, %1 else resume before "o" frame @f+4 call 4 {{0: box %2}} []
        %4:b = int.lt %3, %1
        %5:b = poll
        guard %5 [expected=False] else resume before "poll" {HERE}
        branch %4 ? b(%3) : c()
      block c(): {EXIT}""")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("block a(%0:i): jump a(%0)", "entry block has parameters"),
        ("block a(): jump a()", "entry block has predecessors"),
        ("block a(): unfinished", "terminator is incomplete"),
        (f"block a(): %0:i = const.i [value=1] %1:f = float.neg %0 {EXIT}", "operands should be 'f'"),
        (f"block a(): %0:i = const.i [value=1] %1:i = int.add %0 {EXIT}", "operands should be 'ii'"),
        (f"block a(): %0:i = const.i {EXIT}", "immediates"),
        (f"block a(): %0:i = int.add %1, %1 %1:i = const.i [value=1] {EXIT}", "does not dominate"),
        (f"block a(): %0:i = const.i [value=1] jump b() block b(%1:i): {EXIT}", "do not fit"),
        (f"block a(): %0:i = const.i [value=1] jump b(%0) block b(%1:f): {EXIT}", "do not fit"),
        (f"block a(): %0:i = const.i [value=1] branch %0 ? b() : b() block b(): {EXIT}", "condition is no b"),
        (f"block a(): %0:b = const.b [value=True] guard %0 [expected=True] {EXIT}", "needs a state"),
        (f'block a(): %0:b = poll else resume before "x" {HERE} {EXIT}', "only guards"),
        (
            'block a(): %0:i = const.i [value=1] %1:i = int.add_ovf %0, %0 else resume before "x" '
            f"frame @f+4 call 4 {{0: box %1}} [] {EXIT}",
            "does not dominate",
        ),
        ('block a(): exit resume before "x"', "has no frame"),
        (f'block a(): exit return before "x" {HERE}', "have a result"),
        ('block a(): exit resume before "x" frame @f+4 call 4 {0: wrong} []', "unknown slot kind"),
        (
            "block a(): %0:f = const.f [value=1.0] "
            'exit resume before "x" frame @f+4 call 4 {0: tagged %0} []',
            "wrong values",
        ),
        (
            'block a(): %0:i = const.i [value=1] exit resume before "x" frame @f+4 call 4 {0: sequence_iter(%0)} []',
            "0 parts",
        ),
        (
            'block a(): %0:i = const.i [value=1] exit resume before "x" '
            "frame @f+4 call 4 {} [enumerate(%0, const @o)]",
            "wrong parts",
        ),
        ('block a(): exit resume before "x" frame @f+4 call 4 {} [zip(tuple())]', "wrong parts"),
        (f'block a(): exit resume before "x" {HERE} {HERE}', "needs its function"),
        (
            f"""block a(): %0:b = poll branch %0 ? b() : c()
                block b(): %1:i = const.i [value=1] jump d()
                block c(): jump d()
                block d(): %2:i = int.add %1, %1 {EXIT}""",
            "does not dominate",
        ),
    ],
)
def test_rejects(body: str, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        check(body)


CALL = '%9:o = call.object %0 [function="PyObject_Repr", extra=()] obj.drop %9'


def test_state_before_after_an_effect() -> None:
    start = f"block a(): %0:o = frame.local [slot=0] %1:b = obj.is_null %0 frame.set_ip [offset=4] {CALL}"
    with pytest.raises(VerifyError, match="has had its effect"):
        check(f'{start} guard %1 [expected=False] else resume before "x" {HERE} {EXIT}')
    check(f'{start} guard %1 [expected=False] else resume after "x" {NEXT} {EXIT}')
    check(f'{start} guard %1 [expected=False] else resume before "x" {NEXT} {EXIT}')
    check(f'{start} guard %1 [expected=False] else error after "x" {HERE} {EXIT}')


def test_effects_follow_single_predecessors() -> None:
    start = f"""block a(): %0:o = frame.local [slot=0] %1:b = obj.is_null %0
        guard %1 [expected=False] else resume before "x" {HERE}
        {CALL} jump b()
        block b():"""
    with pytest.raises(VerifyError, match="has had its effect"):
        check(f'{start} exit resume before "x" {HERE}')
    check(f'{start} exit resume after "x" {NEXT}')


def test_mismatch_changes_nothing() -> None:
    with pytest.raises(VerifyError, match="mismatch state after"):
        check(f"""block a(): frame.lower_stack [depth=0] %0:b = frame.stack_unique [depth=0]
                  guard %0 [expected=True] else mismatch before "x" {EXIT}""")


def test_no_reference_is_lost() -> None:
    """Where a guard leaves, what was made in the block is gone or goes along; that nothing was made is no loss."""
    head = 'block a(): %0:o = frame.local [slot=0] %1:b = obj.is_null %0 %2:o = call.closed %0 [function="PyObject_Str", extra=()]'
    leave = 'guard %1 [expected=False] else resume before "x" frame @f+4 call 4 {}'
    with pytest.raises(VerifyError, match="lost"):
        check(f"{head} {leave} [] obj.drop %2 {EXIT}")
    with pytest.raises(VerifyError, match="lost"):
        check(f"{head} obj.incref %2 obj.drop %2 {leave} [] obj.drop %2 {EXIT}")
    check(f"{head} {leave} [steal %2] obj.drop %2 {EXIT}")
    check(f"{head} obj.drop %2 {leave} [] {EXIT}")
    check(f"{head} frame.store_local %2 [slot=0] {leave} [] {EXIT}")
    check(f"{head} %3:b = obj.is_null %2 {leave.replace('%1', '%3')} [] obj.drop %2 {EXIT}")


def test_references() -> None:
    box = "block a(): %0:i = const.i [value=1000] %1:o = obj.box_int %0"
    two = 'exit resume before "x" frame @f+4 call 4 {0: steal %1} [tuple(steal %1)]'
    with pytest.raises(VerifyError, match="stolen more often"):
        check(f"{box} {two}")
    check(f"{box} obj.incref %1 {two}")
    with pytest.raises(VerifyError, match="stolen more often"):
        check(f"{box} obj.incref %1 obj.drop %1 {two}")
    with pytest.raises(VerifyError, match="consumed more often"):
        check(f"{box} obj.drop %1 obj.drop %1 {EXIT}")
    with pytest.raises(VerifyError, match="consumed more often"):
        check(f"block a(): %1:o = frame.local [slot=0] %2:o = tuple.new %1 {EXIT}")
