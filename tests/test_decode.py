"""The decoder against `dis` over the standard library, against live frames, and on made corner cases."""

from __future__ import annotations

import ctypes
import dis
import glob
import os
import sys
from collections.abc import Iterator
from types import CodeType

import pytest
from jitcore.tracing.decode import CodeInfo, code_info
from jitcore.tracing.versions import compare_symbol, stored_slots

from jitcore.abi import LAYOUT, memory

MONITORING = sys.monitoring
INSTRUCTION = MONITORING.events.INSTRUCTION


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def library(count: int = 30) -> list[CodeType]:
    found: list[CodeType] = []
    folder = os.path.dirname(os.__file__)
    paths = sorted(glob.glob(os.path.join(folder, "*.py")))[:count]
    for path in [*paths, os.path.join(folder, "contextlib.py")]:
        with open(path, encoding="utf-8") as source:
            found.extend(codes(compile(source.read(), path, "exec")))
    return found


LIBRARY = library()


def make(source: str) -> CodeType:
    namespace: dict[str, object] = {}
    exec(source, namespace)
    return namespace["f"].__code__  # type: ignore[attr-defined]


MANY = "def f(n):\n" + "".join(f"    v{i} = n + {i}\n" for i in range(300))
LONG = MANY + "    while v299 < 9000:\n        v299 += 1\n" + "".join(
    f"        v{i} = v{i} + 1\n" for i in range(290)
) + "    return v299\n"


def test_instructions_agree_with_dis() -> None:
    for code in LIBRARY:
        mine = [(i.offset, i.op, i.arg) for i in code_info(code).instructions]
        plain = [i for i in dis.get_instructions(code) if i.opname != "EXTENDED_ARG"]
        theirs = [(i.offset, i.opname, i.arg or 0) for i in plain]
        assert mine == theirs, code


def test_slots_agree_with_the_code_object() -> None:
    for code in LIBRARY:
        info = code_info(code)
        assert info.nlocalsplus == ctypes.c_int32.from_address(id(code) + LAYOUT.CODE_NLOCALSPLUS).value, code


def test_every_reachable_instruction_has_a_depth_within_the_stack() -> None:
    for code in LIBRARY:
        info = code_info(code)
        for offset in info.reachable:
            assert 0 <= info.depth_at(offset) <= code.co_stacksize, (code, offset)


def effect(info: CodeInfo, offset: int, successor: int) -> int | None:
    """Change of depth along an edge, None for those whose effect stack_effect does not tell."""
    ins = info.at(offset)
    if ins.op in ("FOR_ITER", "SEND", "RETURN_GENERATOR"):
        return None
    number = dis.opmap[ins.op]
    has_arg = number in dis.hasarg if hasattr(dis, "hasarg") else number >= dis.HAVE_ARGUMENT
    jump = ins.target >= 0 and successor == info.at(ins.target).offset and successor != info.at(offset).next
    return dis.stack_effect(number, ins.arg if has_arg else None, jump=jump)


@pytest.mark.parametrize("coroutines", [False, True])
def test_paths_that_meet_agree_on_the_depth(coroutines: bool) -> None:
    asynchronous = 0x80 | 0x200
    for code in LIBRARY:
        if bool(code.co_flags & asynchronous) != coroutines:
            continue
        info = code_info(code)
        for offset in info.reachable:
            for successor in info.successors(info.at(offset)):
                change = effect(info, offset, successor)
                if change is not None:
                    expected = info.depth_at(offset) + change
                    assert info.depth_at(successor) == expected, (code, offset, successor)


PROGRAM = """
def f():
    log = []
    class Manager:
        def __enter__(self): return 1
        def __exit__(self, *error): return True
    def count(n):
        for i in range(n):
            yield i
    for i in range(3):
        for j in [1, 2]:
            try:
                if j == 2: raise ValueError(i)
                log.append((i, [k * k for k in (1, 2)], {**{'a': i}}))
            except ValueError as error:
                log.append(f'{error!r:>5}')
            finally:
                log.append(i if j else -j)
        with Manager() as one:
            raise KeyError
    for i in count(2):
        a, *b = i, j, 3
    log.sort(key=str, reverse=True)
    return max(*b, 1), log[0:2], 1 < a < 3 or None
"""


@pytest.mark.skipif(not LAYOUT.SP_IS_POINTER, reason="before 3.14 a running frame does not know its depth")
def test_depths_agree_with_running_frames() -> None:
    tool = 4
    bad: list[tuple[str, int, int, int]] = []
    seen = 0

    def watch(code: CodeType, offset: int) -> None:
        nonlocal seen
        if not code.co_filename.startswith("<depths>"):
            return
        frame = memory.frame_address(sys._getframe(1))
        info = code_info(code)
        base = frame + LAYOUT.FRAME_LOCALSPLUS + 8 * info.nlocalsplus
        live = (memory.read64(frame + LAYOUT.FRAME_SP) - base) // 8
        if code.co_code[offset] != dis.EXTENDED_ARG:
            seen += 1
            if info.depth_at(offset) != live:
                bad.append((info.at(offset).op, offset, info.depth_at(offset), live))

    namespace: dict[str, object] = {}
    exec(compile(PROGRAM, "<depths>", "exec"), namespace)
    MONITORING.use_tool_id(tool, "depths")
    try:
        MONITORING.register_callback(tool, INSTRUCTION, watch)
        MONITORING.set_events(tool, INSTRUCTION)
        namespace["f"]()  # type: ignore[operator]
    finally:
        MONITORING.set_events(tool, 0)
        MONITORING.free_tool_id(tool)
    assert seen > 300
    assert not bad


def test_extended_arguments_belong_to_their_instruction() -> None:
    info = code_info(make(LONG))
    prefixed = [i for i in info.instructions if i.start != i.offset and i.op != "CALL"]
    assert len(prefixed) > 50
    for ins in prefixed:
        assert info.at(ins.start) is info.at(ins.offset) is ins
        assert dis.opname[info.code.co_code[ins.start]] == "EXTENDED_ARG"


def test_a_loop_head_behind_extended_arg_is_one_under_the_offset_of_the_jump() -> None:
    info = code_info(make(LONG))
    (jump,) = [i for i in info.instructions if i.op == "JUMP_BACKWARD"]
    assert info.at(jump.target).offset != jump.target
    assert info.is_loop_head(jump.target)
    assert info.is_merge(jump.target)
    assert info.stores_in_loop(jump.target) >= set(range(1, 291))


def test_nested_loops() -> None:
    source = "def f(n):\n  t=0\n  for i in range(n):\n    for j in range(i):\n      t+=j\n  return t\n"
    info = code_info(make(source))
    outer, inner = sorted(info.loops, key=lambda head: -len(info.loops[head]))
    assert info.loop_body(inner) < info.loop_body(outer)
    assert {info.code.co_varnames[k] for k in info.stores_in_loop(inner)} == {"t", "j"}
    assert {info.code.co_varnames[k] for k in info.stores_in_loop(outer)} == {"t", "i", "j"}
    for head in (outer, inner):
        assert info.is_loop_head(head) and info.is_merge(head) and info.at(head).op == "FOR_ITER"


def test_what_a_loop_only_reaches_through_its_handler_is_in_it() -> None:
    source = """
def f(g):
    while True:
        try:
            x = g()
            break
        except ValueError:
            y = 1
    return x
"""
    info = code_info(make(source))
    stored: set[int] = set()
    for head in info.loops:
        stored |= info.stores_in_loop(head)
    assert info.code.co_varnames.index("y") in stored
    call = next(i for i in info.instructions if i.op == "CALL")
    assert any(call.offset in body for body in info.loops.values())


def test_a_loop_goes_on_behind_its_end() -> None:
    info = code_info(make("def f(n):\n    for i in n: pass\n    return 77\n"))
    ins = next(i for i in info.instructions if i.op == "FOR_ITER")
    behind = info.at(ins.exhausted)
    expected = "POP_ITER" if sys.version_info >= (3, 14) else None
    assert behind.op == expected if expected else behind.op in ("RETURN_CONST", "LOAD_CONST")


def test_comparisons() -> None:
    info = code_info(make("def f(a, b):\n    return a<b, a<=b, a==b, a!=b, a>b, a>=b\n"))
    symbols = [compare_symbol(i) for i in info.instructions if i.op == "COMPARE_OP"]
    assert symbols == ["<", "<=", "==", "!=", ">", ">="]


def test_stored_slots() -> None:
    info = code_info(make("def f(a, b):\n    a, b = b, a\n    c = a\n    del b\n    [d for d in c]\n"))
    stored = {slot for i in info.instructions for slot in stored_slots(i.op, i.arg)}
    assert {info.code.co_varnames[k] for k in stored} == {"a", "b", "c", "d"}


def test_equal_code_objects_are_not_confused() -> None:
    first, second = make("def f(x): return x\n"), make("def f(x): return x\n")
    assert first == second and first is not second
    assert code_info(first).code is first
    assert code_info(second).code is second
