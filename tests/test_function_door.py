"""The native runtime: function doors and watchers."""

from __future__ import annotations

import builtins
import ctypes
import gc
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
from jitcore.backends.llvm import runtime_state as S
from jitcore.backends.runtime import Entry
from runtime_tools import (
    BOX_INT,
    ERROR,
    NEW,
    RESUME,
    RETURN,
    Descriptor,
    Frame,
    Region,
    find,
    ip,
    line_start,
    rt,
)

from jitcore.abi import LAYOUT, memory


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    yield
    rt.set_hooks(hot_loop=None, hot_exit=None, hot_function=None, deep_recursion=None)


def resume_ip(func: Any) -> int:
    return ip(func.__code__, find(func.__code__, "RESUME"))


class Always(Region):
    """A region that leaves the same way at every call."""

    def __init__(self, exit: Descriptor, values: Any = (), raises: BaseException | None = None) -> None:
        super().__init__(exit, values, raises)
        self.trigger.value = 1
        text = """
define i64 @always(i64 %f, i64 %t, i64 %b) {
  store i64 1, ptr @trigger
  %r = call i64 @region(i64 %f, i64 %t, i64 %b)
  ret i64 %r
}
@trigger = external global i64
declare i64 @region(i64, i64, i64)
"""
        symbols = {"trigger": ctypes.addressof(self.trigger), "region": self.module.address("region")}
        self.outer = rt.jit.compile_ir(text, symbols, ["always"])
        self.entry = Entry(self.outer.address("always"), len(values), ctypes.addressof(self.valid), self)


def steady(action: Any, *objects: Any, rounds: int = 3000) -> None:
    for _ in range(5):
        action()
    gc.collect()
    counts = [sys.getrefcount(o) for o in objects]
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(rounds):
        action()
    gc.collect()
    grown = sys.getallocatedblocks() - blocks
    assert [sys.getrefcount(o) for o in objects] == counts
    assert abs(grown) < 100


def make(source: str, name: str = "f", **namespace: Any) -> Any:
    """A fresh function from source, so that tests do not share code objects."""
    scope: dict[str, Any] = {"sys": sys, **namespace}
    exec(source, scope)
    return scope[name]


ADD = """
def f(a, b):
    c = a + b
    return c
"""


def test_return() -> None:
    f = make(ADD)
    values: list[Any] = [object(), object()]

    def caller(x: Any, y: Any) -> Any:
        return f(x, y)

    assert caller(1, 2) == 3
    region = Always(Descriptor(RETURN, [(BOX_INT, 0)]), [12345])
    plain = memory.read64(id(f) + LAYOUT.FUNC_VECTORCALL)
    version = memory.read32(id(f) + LAYOUT.FUNC_VERSION)
    rt.install_function(f, region.entry, resume_ip(f))
    assert caller(*values) == 12345 and f(*values) == 12345 and list(map(f, [1], [2])) == [12345]
    assert f(a=1, b=2) == 3  # keywords: the original
    with pytest.raises(TypeError):
        f(1)
    steady(lambda: caller(*values), *values, f, f.__code__)
    region.valid.value = 0
    assert caller(1, 2) == 3
    region.valid.value = 1
    rt.remove_function(f)
    assert caller(1, 2) == 3
    assert memory.read64(id(f) + LAYOUT.FUNC_VECTORCALL) == plain
    assert memory.read32(id(f) + LAYOUT.FUNC_VERSION) == version
    assert region.entry.activations == 0


LOOKING = """
def f(a, b):
    c = a + b
    g = sys._getframe()
    return c, g.f_back.f_code.co_name, g.f_locals['a']
"""


def warm(func: Any, *args: Any) -> None:
    """The interpreter runs the function, and looks at which tools want to see it. Until then its door stays shut."""
    func(*args)


def test_resume_continues_in_the_interpreter() -> None:
    f = make(LOOKING)
    warm(f, 5, 6)
    code = f.__code__
    region = Always(Descriptor(RESUME, [(BOX_INT, 0)], [Frame(code, line_start(code, 2), {"c": 0})]), [99])
    rt.install_function(f, region.entry, resume_ip(f))

    def caller() -> Any:
        return f(5, 6)

    assert caller() == (99, "caller", 5)
    steady(caller, f, code)
    rt.remove_function(f)


def test_entry_that_does_not_fit_runs_the_function() -> None:
    f = make(ADD)
    warm(f, 3, 4)
    region = Region(Descriptor(RETURN, [(BOX_INT, 0)]), [1])
    rt.install_function(f, region.entry, resume_ip(f))
    assert f(3, 4) == 7 and region.entry.mismatches == 1
    steady(lambda: f("x", "y"), f, f.__code__)
    rt.remove_function(f)


CATCHING = """
def f(a, b):
    try: c = a + b
    except LookupError as e:
        c = e
    return c
"""


def test_error_goes_to_the_handler_of_the_frame() -> None:
    f = make(CATCHING)
    g = make(ADD)
    error = LookupError("stored")
    for func, caught in ((f, True), (g, False)):
        warm(func, 1, 2)
        code = func.__code__
        throw = 0 if LAYOUT.OWN_FRAME_IP_ADJUST else 2
        frame = Frame(code, find(code, "BINARY_OP"), {}, (), throw=throw)
        region = Always(Descriptor(ERROR, [], [frame]), [], error)
        rt.install_function(func, region.entry, resume_ip(func))

        def again(func: Any = func) -> Any:
            error.__traceback__ = None
            try:
                return func(1, 2)
            except LookupError as e:
                return "escaped", e.__traceback__.tb_next.tb_lineno  # type: ignore[union-attr]

        assert again() == (error if caught else ("escaped", 3))
        steady(again, error, func, code)
        rt.remove_function(func)


CLOSURES = """
def outer(k):
    def f(a):
        return inner(a)
    def inner(x):
        return k, x
    return f, inner
"""


def test_closures_and_inlined_callees() -> None:
    maker = make(CLOSURES, "outer")
    f, inner = maker("free")
    warm(f, 1)
    code = f.__code__
    call = find(code, "CALL")
    frames = [
        Frame(code, min(i for i in range(call + 2, call + 40, 2) if is_instruction(code, i)), {}, (), call),
        Frame(inner.__code__, line_start(inner.__code__, 1), {"x": 0, "k": 1}, (), -1, inner),
    ]
    region = Always(Descriptor(RESUME, [(BOX_INT, 0), (NEW, 1)], frames), [42, id(inner.__closure__[0])])
    rt.install_function(f, region.entry, resume_ip(f))
    assert f(1) == ("free", 42)
    steady(lambda: f(1), f, inner, code, inner.__closure__[0])
    rt.remove_function(f)
    assert f(1) == ("free", 1)


def is_instruction(code: Any, offset: int) -> bool:
    import dis

    return any(i.offset == offset for i in dis.get_instructions(code))


# A region that calls another function in its frame: the callee may keep the frame, or recurse.
CALLING = """
declare ptr @PyObject_CallNoArgs(ptr)
define i64 @region(i64 %f, i64 %t, i64 %b) {{
  %r = call ptr @PyObject_CallNoArgs(ptr inttoptr (i64 {callee} to ptr))
  %p = inttoptr i64 %b to ptr
  store ptr %r, ptr %p
  %z = icmp eq ptr %r, null
  %d = select i1 %z, i64 {error}, i64 {exit}
  ret i64 %d
}}
"""


def calling_region(func: Any, callee: Any) -> tuple[Entry, Descriptor, Descriptor]:
    code = func.__code__
    exit = Descriptor(RETURN, [(4, 0)])
    throw = 0 if LAYOUT.OWN_FRAME_IP_ADJUST else 2
    error = Descriptor(ERROR, [], [Frame(code, find(code, "CALL"), {}, (), throw=throw)])
    text = CALLING.format(callee=id(callee), exit=exit.address, error=error.address)
    symbols = {"PyObject_CallNoArgs": memory.symbol("PyObject_CallNoArgs")}
    module = rt.jit.compile_ir(text, symbols, ["region"])
    valid = ctypes.c_int64(1)
    entry = Entry(module.address("region"), 4, ctypes.addressof(valid), (module, valid, exit, error, callee))
    return entry, exit, error


def test_a_frame_that_somebody_keeps() -> None:
    kept: list[Any] = []

    def keep() -> str:
        kept.append(sys._getframe(1))
        return "result"

    f = make("def f(a):\n    return keep()\n", keep=keep)
    entry, _, _ = calling_region(f, keep)
    rt.install_function(f, entry, resume_ip(f))
    thing = object()
    assert f(thing) == "result"
    frame = kept.pop()
    assert frame.f_code is f.__code__ and frame.f_locals == {"a": thing} and frame.f_back is sys._getframe()
    del frame
    steady(lambda: (f(thing), kept.clear()), thing, f, f.__code__)
    rt.remove_function(f)


def test_traceback_of_a_callee() -> None:
    def fail() -> None:
        raise KeyError(1)

    f = make("def f(a):\n    return fail()\n", fail=fail)
    entry, _, _ = calling_region(f, fail)
    rt.install_function(f, entry, resume_ip(f))

    def again() -> Any:
        try:
            f(0)
        except KeyError as error:
            tb = error.__traceback__.tb_next  # type: ignore[union-attr]
            return tb.tb_frame.f_code.co_name, tb.tb_lineno, tb.tb_next.tb_frame.f_code.co_name  # type: ignore[union-attr]

    assert again() == ("f", 2, "fail")
    steady(again, f, fail, f.__code__)
    rt.remove_function(f)


def recursive(depth: int) -> tuple[Any, list[int]]:
    """A function whose region calls it again through its vectorcall, and where it counts."""
    counter = [depth]

    def again() -> Any:
        counter[0] -= 1
        if counter[0] <= 0:
            return 0
        return f()

    f = make("def f():\n    return again()\n", again=again)
    entry, _, _ = calling_region(f, again)
    rt.install_function(f, entry, resume_ip(f))
    return f, counter


def test_recursion_limit() -> None:
    f, counter = recursive(10**9)
    ts = memory.thread_state()
    before = memory.read32(ts + LAYOUT.TS_PY_RECURSION_REMAINING)
    with pytest.raises(RecursionError):
        f()
    assert memory.read32(ts + LAYOUT.TS_PY_RECURSION_REMAINING) == before
    assert 10**9 - counter[0] > 100
    counter[0] = 50
    assert f() == 0
    rt.remove_function(f)


def test_deep_recursion_goes_to_the_interpreter() -> None:
    told: list[Any] = []
    rt.set_hooks(deep_recursion=told.append)
    f, counter = recursive(0)
    result: list[Any] = []

    def work() -> None:
        counter[0] = 3000
        result.append(f())

    limit = sys.getrecursionlimit()
    size = threading.stack_size(1 << 20)
    sys.setrecursionlimit(20000)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)
    assert result == [0] and told == [f]
    assert memory.read64(id(f) + LAYOUT.FUNC_VECTORCALL) != rt.helper("function_entry")
    rt.remove_function(f)


def test_functions_without_a_door() -> None:
    region = Region(Descriptor(RETURN, [(BOX_INT, 0)]), [1])
    for source in (
        "def f(*a): pass",
        "def f(**k): pass",
        "def f(*, k): pass",
        "def f(): yield",
        "async def f(): pass",
    ):
        with pytest.raises(ValueError):
            rt.install_function(make(source), region.entry, 0)


def test_changed_code_is_noticed() -> None:
    f = make(ADD)
    other = make("def f(a, b):\n    return 'other'\n")
    region = Always(Descriptor(RETURN, [(BOX_INT, 0)]), [1])
    rt.install_function(f, region.entry, resume_ip(f))
    f.__code__ = other.__code__
    assert f(1, 2) == "other"
    rt.remove_function(f)
    assert f(1, 2) == "other"


# -- watchers


class Flags:
    """Some validity words, released at the end."""

    def __init__(self) -> None:
        self.words: list[Any] = []

    def new(self) -> Any:
        self.words.append(ctypes.c_int64(1))
        return self.words[-1]

    def close(self) -> None:
        for word in self.words:
            rt.unwatch(ctypes.addressof(word))


@pytest.fixture
def flags() -> Iterator[Flags]:
    made = Flags()
    yield made
    made.close()


def test_dict_keys(flags: Flags) -> None:
    space: dict[Any, Any] = {"K": 1, "M": 2, "__builtins__": builtins}
    k, k2, m, new = flags.new(), flags.new(), flags.new(), flags.new()
    for word, key in ((k, "K"), (k2, "K"), (m, "M"), (new, "NEW")):
        rt.watch_dict_key(space, key, ctypes.addressof(word))
    space["other"] = 1
    assert (k.value, k2.value, m.value, new.value) == (1, 1, 1, 1)
    exec("K = 5", space)
    assert (k.value, k2.value, m.value, new.value) == (0, 0, 1, 1)
    k.value = 1
    space["".join(["K"])] = 6  # equal, not identical
    assert k.value == 0
    del space["M"]
    assert m.value == 0 and new.value == 1
    space["NEW"] = 1
    assert new.value == 0
    rt.unwatch(ctypes.addressof(k))
    k.value = k2.value = 1
    space["K"] = 7
    assert k.value == 1 and k2.value == 0
    k2.value = m.value = 1
    space.clear()
    assert k2.value == 0 and m.value == 0 and k.value == 1


def test_odd_keys_and_dying_dicts(flags: Flags) -> None:
    class Text(str):
        def __hash__(self) -> int:
            return str.__hash__(self)

    word = flags.new()
    space: dict[Any, Any] = {"K": 1}
    rt.watch_dict_key(space, "K", ctypes.addressof(word))
    space[Text("Z")] = 1
    assert word.value == 0
    word.value = 1
    del space
    assert word.value == 0
    for _ in range(50):  # addresses are used again
        word = flags.new()
        space = {"K": 1}
        rt.watch_dict_key(space, "K", ctypes.addressof(word))
        assert word.value == 1
        space["K"] = 2
        assert word.value == 0
        rt.unwatch(ctypes.addressof(word))
        word.value = 1
        space["K"] = 3
        assert word.value == 1
        del space


def test_many_keys_of_one_dict(flags: Flags) -> None:
    space = {f"k{n}": n for n in range(300)}
    words = {key: flags.new() for key in space}
    for key, word in words.items():
        rt.watch_dict_key(space, key, ctypes.addressof(word))
    for n, key in enumerate(words):
        space[key] = -1
        assert [w.value for w in words.values()] == [0] * (n + 1) + [1] * (299 - n)


def test_types(flags: Flags) -> None:
    class Base:
        x = 1

    class Derived(Base):
        pass

    word, other = flags.new(), flags.new()
    assert rt.watch_type(Derived, ctypes.addressof(word))
    assert rt.watch_type(int, ctypes.addressof(other))
    Base.x = 2
    assert word.value == 0 and other.value == 1
    word.value = 1
    assert rt.watch_type(Derived, ctypes.addressof(word))
    Derived.y = 2  # type: ignore[attr-defined]
    assert word.value == 0
    word.value = 1
    rt.unwatch(ctypes.addressof(word))
    assert rt.watch_type(Derived, ctypes.addressof(word))
    del Derived
    gc.collect()
    assert word.value == 0


def test_functions(flags: Flags) -> None:
    f = make(ADD)
    changes = [("__code__", make(ADD).__code__), ("__defaults__", (1,)), ("__kwdefaults__", {"b": 1})]
    for name, value in changes:
        word = flags.new()
        rt.watch_function(f, ctypes.addressof(word))
        make(ADD)
        assert word.value == 1
        setattr(f, name, value)
        assert word.value == 0
    word = flags.new()
    rt.watch_function(f, ctypes.addressof(word))
    del f
    gc.collect()
    assert word.value == 0


def test_tables_grow() -> None:
    def fresh() -> types.CodeType:
        return compile("pass", "x", "exec")

    codes = [fresh() for _ in range(3000)]
    rows = [rt.loop_row(code, n) for n, code in enumerate(codes)]
    assert len(set(rows)) == 3000
    assert rows == [rt.loop_row(code, n) for n, code in enumerate(codes)]
    assert memory.read64(rows[9]) == id(codes[9]) and memory.read64(rows[9] + 8) == 9
    rt.set_never(codes[9], 9)
    row = rows[9]
    assert memory.read64(row + S.R_FLAGS) == S.FLAG_NEVER
    rt.set_counter(codes[9], 9, 5)
    assert memory.read64(row + S.R_FLAGS) == 0
