"""The native subset: every construct, run against the same function in Python."""

from __future__ import annotations

import ctypes
import types
from collections.abc import Callable
from typing import Any

import pytest
from jitcore.backends.llvm import jit
from jitcore.backends.llvm.jit import Jit, assembly, object_code, optimized_ir
from jitcore.backends.llvm.lowlevel import (
    NativeSyntaxError,
    alloca,
    c,
    icall,
    ld8,
    ld16,
    ld32,
    ld64,
    native,
    st8,
    st16,
    st32,
    st64,
    ult,
)
from jitcore.backends.llvm.lowlevel_translate import translate

from jitcore import Engine

SEVEN = 7
LAYOUT = types.SimpleNamespace(SIZE=24, TAGGED=False, MISSING="text")
JIT = Jit()


def build(
    *functions: Any, opt: str = "quick", symbols: dict[str, int] | None = None
) -> list[Callable[..., int]]:
    """The functions as callables of Python ints; index 0 is the first."""
    handle = JIT.compile_ir(translate(functions), symbols or {}, [f.name for f in functions], opt)
    made = []
    for f in functions:
        nargs = f.function.__code__.co_argcount
        prototype = ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * nargs)
        call = prototype(handle.address(f.name))
        call.keep = handle  # type: ignore[attr-defined]
        made.append(call)
    return made


@native
def arithmetic(a, b):
    x = a * 3 + b - SEVEN
    x ^= a & ~b
    x |= (b << 2) >> 1
    x -= -a
    y = x // 8 + x % 16
    return y if a < b else -y


@native
def logic(a, b):
    r = 0
    if a > 0 and (b > 0 or not a == 3) and not b == 9:
        r = 1
    elif a < b or ult(b, a):
        r = 2
    else:
        r = 3
    return r * 100 + (a >= b) * 10 + (a != 0 and b != 0)


@native
def loops(n):
    total = 0
    i = 0
    while True:
        i += 1
        if i > n:
            break
        if i & 1:
            continue
        j = 0
        while j < i:
            total += j
            j += 1
    return total


@native
def fibonacci(n):
    """A docstring is fine."""
    if n < 2:
        return n
    return fibonacci(n - 1) + fibonacci(n - 2)


@native
def memory(a, b):
    p = alloca(LAYOUT.SIZE)
    st64(p, a)
    st32(p + 8, b)
    st16(p + 12, a)
    st8(p + 14, b)
    return ld64(p) + ld32(p + 8) * 3 + ld16(p + 12) * 5 + ld8(p + 14) * 7


@native
def folded(a):
    if LAYOUT.TAGGED:
        return undefined_thing(a) + LAYOUT.NOT_THERE  # noqa: F821
    if not LAYOUT.TAGGED and a > 5:
        return 1
    return 9 if LAYOUT.TAGGED else 2


@native(inline=True)
def twice(x):
    return x + x


@native
def caller(x):
    return icall(c.doubler, x) + twice(x)


@native
def doubler(x):
    return twice(x)


@native
def falls_off(a):
    if a:
        return 5


@native
def boxed(bits):
    return c.PyFloat_FromDouble(bits)


def signed(value: int) -> int:
    return ctypes.c_int64(value).value


PAIRS = [(0, 0), (1, 2), (3, 9), (-5, 4), (9, 9), (3, 3), (1 << 40, -1), (-(1 << 62), 77)]


def in_python(function: Any) -> Callable[..., Any]:
    namespace = {**function.namespace, "ult": lambda a, b: a % 2**64 < b % 2**64}
    return types.FunctionType(function.function.__code__, namespace)


@pytest.mark.parametrize("opt", ["none", "quick", "full"])
def test_same_as_python(opt: str) -> None:
    for function, cases in [(arithmetic, PAIRS), (logic, PAIRS), (loops, [(0,), (1,), (9,), (20,)])]:
        (compiled,) = build(function, opt=opt)
        for case in cases:
            assert compiled(*case) == signed(in_python(function)(*case)), (function.name, case)


@pytest.mark.parametrize("opt", ["none", "quick", "full"])
def test_calls_and_memory(opt: str) -> None:
    assert build(fibonacci, opt=opt)[0](15) == 610
    assert build(memory, opt=opt)[0](-2, -3) == -2 - 9 + 65534 * 5 + 253 * 7
    assert build(falls_off, opt=opt)[0](0) == 0
    assert build(caller, doubler, opt=opt)[0](11) == 44


def test_constants_fold_before_they_are_translated() -> None:
    (compiled,) = build(folded)
    assert (compiled(6), compiled(5)) == (1, 2)
    assert "undefined_thing" not in translate([folded])
    other = translate(
        [folded], {"LAYOUT": types.SimpleNamespace(TAGGED=True, NOT_THERE=1), "undefined_thing": twice}
    )
    assert "@twice" in other


def test_c_function_with_double() -> None:
    address = ctypes.cast(ctypes.pythonapi.PyFloat_FromDouble, ctypes.c_void_p).value
    assert address
    handle = JIT.compile_ir(translate([boxed]), {"PyFloat_FromDouble": address}, ["boxed"])
    call = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_double)
    bits = ctypes.c_int64.from_buffer(ctypes.c_double(2.5)).value
    assert ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_int64)(handle.address("boxed"))(bits) == 2.5
    assert call


@native
def bad_for(a):
    for _ in a:
        pass


@native
def bad_name(a):
    return a + nowhere  # noqa: F821


@native
def bad_divide(a):
    return a // 3


@native
def bad_c(a):
    return c.PyDict_New()


@native
def bad_attribute(a):
    return LAYOUT.MISSING


@native
def bad_count(a):
    return twice(a, a)


@native
def bad_call(a):
    return len(a)


@native
def bad_chain(a):
    return 0 < a < 4


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (bad_for, "statement not in the subset: for _ in a"),
        (bad_name, "unknown name 'nowhere'"),
        (bad_divide, "power of two"),
        (bad_c, "signature of C function PyDict_New"),
        (bad_attribute, "LAYOUT.MISSING is not an integer"),
        (bad_count, "twice takes 1 arguments, not 2"),
        (bad_call, "unknown name 'len'"),
        (bad_chain, "comparison not in the subset"),
    ],
)
def test_errors_name_the_place(function: Any, words: str) -> None:
    with pytest.raises(NativeSyntaxError) as caught:
        translate([function])
    message = str(caught.value)
    assert words in message and function.name in message
    assert "test_lowlevel.py:" in message


def test_native_functions_do_not_run_in_python() -> None:
    with pytest.raises(TypeError):
        twice(3)
    with pytest.raises(TypeError):
        ld64(0)


def test_other_targets_and_optimized_text() -> None:
    text = translate([fibonacci])
    assert "bl\t" in assembly(text, "aarch64-unknown-linux-gnu", "cortex-a72")
    assert object_code(text, "riscv64-unknown-linux-gnu")[:4] == b"\x7fELF"
    assert object_code(text)[:4] == b"\x7fELF" or assembly(text)
    assert "alloca" in text and "alloca" not in optimized_ir(text, "quick")


def test_code_is_freed() -> None:
    handle = JIT.compile_ir(translate([twice]), {}, ["twice"])
    assert handle.address("twice")
    handle.free()
    handle.free()
    with pytest.raises(Exception, match="freed"):
        handle.address("twice")


def test_object_code_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    text = translate([twice])
    code = JIT.compile_object(text, "quick")
    assert JIT.compile_object(text, "quick") is code and JIT.compile_object(text, "none") is not code
    one, two = (JIT.link(code, {}, ["twice"]) for _ in range(2))
    assert one.address("twice") != two.address("twice")
    one.free()
    assert two.address("twice")
    monkeypatch.setattr(jit, "KEPT_BYTES", 0)
    monkeypatch.setattr(JIT, "_room", 0)
    for n in range(2):
        assert JIT.compile_object(f"; another {n}\n{text}", "quick")
    assert JIT.compile_object(text, "quick") is not code


def test_regions_come_to_the_same_text_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = jit.parse
    monkeypatch.setattr(jit, "parse", lambda ir, machine: (parsed.append(ir), parse(ir, machine))[1])
    source = "def total(n, away):\n    t = away\n    for i in range(n):\n        t += i * 12347\n    return t"
    expected = 7 + sum(i * 12347 for i in range(500))
    for _ in range(2):
        with Engine(threshold=20, opt_level=0) as engine:
            for _ in range(2):
                space: dict[str, Any] = {}
                exec(source, space)
                assert [space["total"](500, 7) for _ in range(3)] == [expected] * 3
        made = engine.stats().native_entries
        engine.close()
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        assert made
    texts = [ir for ir in parsed if "12347" in ir]
    assert texts and len(texts) == len(set(texts))
