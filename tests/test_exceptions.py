"""Exceptions that are raised and caught: the same as without jitcore in every mode, and usually without leaving native code."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_modes import MODES, engine_with, entries_when_warm, nobody_sees

from jitcore import Engine
from jitcore.abi import check, memory


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    yield from engine_with(MODES[request.param])


DICT = {f"k{i}": i for i in range(0, 60, 3)}
KEYS = [f"k{i}" for i in range(60)] * 3
NUMBERS = [*range(10)]


class Error(Exception):
    pass


class Special(Error, KeyError):
    pass


class Told(Exception):
    """Makes itself, and so may look around."""

    made = 0

    def __init__(self, value: int) -> None:
        super().__init__(value)
        Told.made += 1


class Thing:
    def __init__(self, k: int) -> None:
        self.k = k
        if k % 3:
            self.extra = k


class Slotted:
    __slots__ = ("a", "b")


class Missing(dict[str, int]):
    def __missing__(self, key: str) -> int:
        if key == "k1":
            raise LookupError(key)
        return len(key)


class Rows:
    def __getitem__(self, k: int) -> int:
        if k > 5:
            raise IndexError("rows")
        return k * 2


def by_key(d: dict[str, int], keys: list[str]) -> int:
    n = 0
    for key in keys:
        try:
            v = d[key]
        except KeyError:
            v = -1
        n += v
    return n


def by_base(d: dict[str, int], keys: list[str]) -> Any:
    n, missed = 0, 0
    for key in keys:
        try:
            n += d[key]
        except (IndexError, LookupError):
            missed += 1
            continue
    return n, missed


def by_anything(items: list[int], n: int) -> Any:
    total, missed = 0, []
    for i in range(n):
        try:
            total += items[i % 13]
        except:  # noqa: E722
            missed.append(i)
    return total, missed


def with_else(items: list[int], n: int) -> Any:
    good = bad = 0
    for i in range(n):
        try:
            v = items[i % 12 - 1]
        except IndexError:
            bad += 1
        else:
            good += v
    return good, bad


def second_clause(items: list[int], d: dict[str, int], n: int) -> Any:
    log = [0, 0, 0]
    for i in range(n):
        try:
            log[0] += items[i % 12]
            log[0] += d["k" + str(i % 7)]
        except IndexError:
            log[1] += 1
        except KeyError:
            log[2] += i
    return log


def nested(items: list[int], n: int) -> Any:
    inner = outer = 0
    for i in range(n):
        try:
            try:
                inner += items[i % 15]
            except KeyError:
                inner = -1
            inner += 1
        except IndexError:
            outer += i
    return inner, outer


def as_unused(items: list[int], n: int) -> Any:
    missed = 0
    for i in range(n):
        try:
            missed += items[i % 15]
        except IndexError as error:  # noqa: F841
            missed -= 1
    return missed, "error" in locals()


def as_used(items: list[int], n: int) -> Any:
    seen = []
    for i in range(n):
        try:
            items[i % 15]
        except IndexError as error:
            assert error.__traceback__ is not None
            seen.append((str(error), error.__traceback__.tb_lineno, error.__traceback__.tb_next is None))
    return seen[-3:], len(seen)


def needed(d: dict[str, int], key: str) -> int:
    if key not in d:
        raise KeyError(key)
    return d[key]


def by_callee(d: dict[str, int], keys: list[str]) -> int:
    n = 0
    for key in keys:
        try:
            v = needed(d, key)
        except KeyError:
            v = 2
        n += v
    return n


def deeper(d: dict[str, int], key: str, more: list[int]) -> int:
    held = [key, more]
    return needed(d, key) + len(held)


def by_callee_of_callee(d: dict[str, int], keys: list[str]) -> int:
    n = 0
    for key in keys:
        try:
            v = deeper(d, key, [1, 2])
        except KeyError:
            v = 2
        n += v
    return n


def fussy(k: int) -> int:
    if k % 4 == 1:
        raise Error
    if k % 4 == 2:
        raise Special("special", k)
    return k


def of_the_program(n: int) -> Any:
    counts = [0, 0, 0]
    for k in range(n):
        try:
            counts[0] += fussy(k)
        except KeyError:
            counts[1] += 1
        except Error:
            counts[2] += 1
    return counts


def made_with_init(n: int) -> Any:
    caught = 0
    for k in range(n):
        try:
            if k % 3 == 0:
                raise Told(k)
        except Told:
            caught += 1
    return caught


def divide(items: list[Any]) -> Any:
    total: Any = 0
    for x in items:
        try:
            total += 10 // x
            total += 5 % x
            total += 1 / x
        except ZeroDivisionError:
            total += 1
    return total


def in_function(items: list[int], i: int) -> int:
    try:
        return items[i]
    except IndexError:
        return -1


def many_calls(items: list[int], n: int) -> int:
    total = 0
    for i in range(n):
        total += in_function(items, i % 14)
    return total


def attributes(things: list[Any]) -> Any:
    total = missed = 0
    for thing in things:
        try:
            total += thing.extra
        except AttributeError:
            missed += 1
        try:
            total += thing.never
        except AttributeError:
            missed += 1
    return total, missed


def slots(n: int) -> Any:
    full, bare = Slotted(), Slotted()
    full.a = full.b = 1
    bare.a = 2
    total = 0
    for i in range(n):
        try:
            total += (full if i % 2 else bare).b
        except AttributeError:
            total += 100
    return total


def deleted(n: int) -> Any:
    d = {k: k for k in range(0, n, 2)}
    gone = set(range(0, n, 3))
    missed = 0
    for k in range(n):
        try:
            del d[k]
        except KeyError:
            missed += 1
        try:
            gone.remove(k)
        except KeyError:
            missed += 1000
    return d, gone, missed


def stored(n: int) -> Any:
    items = [0] * 5
    grown = 0
    for i in range(n):
        try:
            items[i % 8] = i
        except IndexError:
            grown += 1
    return items, grown


def counted(keys: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for key in keys:
        try:
            counts[key] += 1
        except KeyError:
            counts[key] = 1
    return counts


def grouped(keys: list[str]) -> Any:
    groups: dict[str, list[str]] = {}
    for key in keys:
        try:
            groups[key[-1]].append(key)
        except KeyError:
            groups[key[-1]] = [key]
    return {key: len(group) for key, group in groups.items()}


def ends_loop(items: list[int], rounds: int) -> int:
    total = 0
    for _ in range(rounds):
        i = 0
        while True:
            try:
                total += items[i]
            except IndexError:
                break
            i += 1
    return total


def outside_of_loop(items: list[int], rounds: int) -> int:
    total = 0
    for _ in range(rounds):
        i = 0
        try:
            while True:
                total += items[i]
                i += 1
        except IndexError:
            pass
    return total


def raised_in_handler(d: dict[str, int], keys: list[str]) -> Any:
    seen = []
    for key in keys:
        try:
            try:
                d[key]
            except KeyError:
                raise ValueError(key)  # noqa: B904
        except ValueError as error:
            seen.append((str(error), type(error.__context__).__name__))
    return seen


def raised_again(d: dict[str, int], keys: list[str]) -> Any:
    n = 0
    for key in keys:
        try:
            try:
                n += d[key]
            except KeyError:
                n += 1
                raise
        except LookupError:
            n += 1000
    return n


def other_raised(d: dict[str, int], keys: list[str]) -> Any:
    n = 0
    for key in keys:
        try:
            try:
                n += d[key]
            except KeyError as error:  # noqa: F841
                raise Error(key)  # noqa: B904
        except Error:
            n += 3
    return n


def fallbacks(d: dict[str, int], more: dict[str, int], keys: list[str]) -> Any:
    n = missed = 0
    for key in keys:
        try:
            n += d[key]
        except KeyError:
            try:
                n += more[key]
            except KeyError:
                missed += 1
    return n, missed


def again_by_callee(d: dict[str, int], keys: list[str]) -> Any:
    def again() -> None:
        raise

    n = 0
    for key in keys:
        try:
            try:
                n += d[key]
            except KeyError:
                try:
                    n += [1, 2][len(key)]
                except IndexError:
                    n += 1
                again()
        except IndexError:
            n += 10000
        except LookupError:
            n += 100
    return n


def at_last(d: dict[str, int], keys: list[str]) -> Any:
    n = last = 0
    for key in keys:
        try:
            try:
                n += d[key]
            finally:
                last += 1
        except KeyError:
            n += 5
    return n, last


def what_is_handled(d: dict[str, int], keys: list[str]) -> Any:
    seen = []
    for key in keys:
        try:
            d[key]
        except KeyError:
            seen.append(repr(sys.exc_info()[1]))
        seen.append(repr(sys.exc_info()[1]))
    return seen


def inside_handler(d: dict[str, int], keys: list[str]) -> Any:
    seen = []
    try:
        raise Error("outer")
    except Error:
        for key in keys:
            try:
                d[key]
            except KeyError:
                pass
            seen.append(repr(sys.exc_info()[1]))
        try:
            d["none"]
        except KeyError as error:
            seen.append(repr(error.__context__))
    return seen


def unhandled_class(d: dict[str, int], keys: list[str]) -> Any:
    n = 0
    for key in keys:
        try:
            n += d[key]
        except IndexError:
            n += 1
    return n


def handler_class_changes(d: dict[str, int], keys: list[str]) -> Any:
    global WANTED
    WANTED = (KeyError, Error)
    n = 0
    for k, key in enumerate(keys):
        try:
            try:
                n += d[key]
            except WANTED:
                n += 1
        except KeyError:
            n += 1000
        if k == len(keys) - 20:
            WANTED = Error  # type: ignore[assignment]
    return n


WANTED: Any = KeyError


def special_methods(n: int) -> Any:
    rows = Rows()
    total = 0
    for i in range(n):
        try:
            total += rows[i % 9]
        except IndexError:
            total += 100
    return total


def missing(n: int) -> Any:
    mapping = Missing({"k0": 5})
    total = 0
    for i in range(n):
        try:
            total += mapping["k" + str(i % 3)]
        except LookupError:
            total += 1000
    return total


def returns(d: dict[str, int], keys: list[str]) -> Any:
    def first(key: str) -> Any:
        try:
            return d[key]
        except KeyError:
            return key, len(key)

    return [first(key) for key in keys]


def generator(d: dict[str, int], keys: list[str]) -> Iterator[int]:
    for key in keys:
        try:
            v = d[key]
        except KeyError:
            v = -3
        yield v


def long_handler(d: dict[str, int], keys: list[str]) -> Any:
    """A handler that acts, branches and then needs to leave now and then."""
    log: list[int] = []
    n = 0
    for key in keys:
        try:
            n += d[key]
        except KeyError:
            log.append(n)
            if n % 5 == 0:
                n += 1
            for k in range(3):
                n += k
            if len(log) > 10:
                log.pop(0)
    return log, n


def numbers(texts: list[str]) -> Any:
    total, bad = 0, 0
    for text in texts:
        try:
            total += int(text)
        except ValueError:
            bad += 1
    return total, bad


def letters(text: str, n: int) -> Any:
    found, missed = [], 0
    for i in range(n):
        try:
            found.append(text[i % 8])
        except IndexError:
            missed += 1
    return found, missed


def places(items: list[int], n: int) -> Any:
    total = missed = 0
    for i in range(n):
        try:
            total += items.index(i % 15)
        except ValueError:
            missed += 1
    return total, missed


def unpacked(rows: list[Any]) -> Any:
    total = bad = 0
    for row in rows:
        try:
            a, b = row
            total += a * b
        except ValueError:
            bad += 1
    return total, bad


THINGS = [Thing(k) for k in range(40)] * 3
TEXTS = ["12", "x", "7", "", "-3", "1e5", "99999999999999999999"] * 20
ROWS: list[Any] = [[1, 2], [3, 4], [1], [5, 6], [1, 2, 3]] * 20

PROGRAMS: dict[str, Callable[[], Any]] = {
    "by key": lambda: by_key(DICT, KEYS),
    "by base": lambda: by_base(DICT, KEYS),
    "by anything": lambda: by_anything(NUMBERS, 200),
    "with else": lambda: with_else(NUMBERS, 200),
    "second clause": lambda: second_clause(NUMBERS, DICT, 200),
    "nested": lambda: nested(NUMBERS, 200),
    "as unused": lambda: as_unused(NUMBERS, 200),
    "by callee": lambda: by_callee(DICT, KEYS),
    "by callee of callee": lambda: by_callee_of_callee(DICT, KEYS),
    "of the program": lambda: of_the_program(200),
    "divide": lambda: (divide([1, 2, 0, 4] * 50), divide([1.5, 0.0, 2.0] * 50)),
    "in function": lambda: many_calls(NUMBERS, 200),
    "attributes": lambda: attributes(THINGS),
    "slots": lambda: slots(200),
    "deleted": lambda: deleted(150),
    "stored": lambda: stored(200),
    "counted": lambda: counted(KEYS),
    "ends loop": lambda: ends_loop(NUMBERS, 30),
    "outside of loop": lambda: outside_of_loop(NUMBERS, 30),
    "special methods": lambda: special_methods(200),
    "raised again": lambda: raised_again(DICT, KEYS),
    "other raised": lambda: other_raised(DICT, KEYS),
    "fallbacks": lambda: fallbacks(DICT, {key: 1 for key in KEYS[::7]}, KEYS),
    "numbers": lambda: numbers(TEXTS),
    "letters": lambda: letters("abcde", 200),
    "places": lambda: places(NUMBERS, 200),
    "unpacked": lambda: unpacked(ROWS),
}
"""What is done natively to the end."""
OTHERS: dict[str, Callable[[], Any]] = {
    "as used": lambda: as_used(NUMBERS, 200),
    "made with init": lambda: made_with_init(200),
    "grouped": lambda: grouped(KEYS),
    "again by callee": lambda: again_by_callee(DICT, KEYS),
    "raised in handler": lambda: raised_in_handler(DICT, KEYS),
    "at last": lambda: at_last(DICT, KEYS),
    "what is handled": lambda: what_is_handled(DICT, KEYS),
    "inside handler": lambda: inside_handler(DICT, KEYS),
    "handler class changes": lambda: handler_class_changes(DICT, KEYS),
    "returns": lambda: returns(DICT, KEYS),
    "missing": lambda: missing(200),
    "generator": lambda: list(generator(DICT, KEYS)),
    "long handler": lambda: long_handler(DICT, KEYS),
}


@pytest.mark.parametrize("name", [*PROGRAMS, *OTHERS])
def test_nobody_sees(engine: Engine, name: str) -> None:
    nobody_sees(engine, {**PROGRAMS, **OTHERS}[name])
    assert "internal_error" not in engine.stats().refusals


@pytest.mark.parametrize("name", PROGRAMS)
def test_handlers_stay_in_native_code(name: str) -> None:
    """A program is entered a few times at most: each exception would be another exit and entry."""
    if check() is None and not memory.exceptions_proven:
        pytest.skip("it is not known where this build says which tools watch exceptions")
    engine = Engine(threshold=20, exit_threshold=2, background=False)
    with engine:
        entries = entries_when_warm(engine, PROGRAMS[name], 40, 10)
    engine.close()
    assert 10 <= entries <= 60


def traceback_of(function: Callable[..., Any], *args: Any) -> Any:
    try:
        function(*args)
    except Exception as error:
        trace, lines = error.__traceback__, []
        while trace is not None:
            lines.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
            trace = trace.tb_next
        return repr(error), lines, repr(error.__context__)
    return None


def test_exceptions_that_nobody_catches(engine: Engine) -> None:
    """After many that were caught in the same place."""
    keys = [*[f"k{i}" for i in range(0, 60, 3)] * 4, "x", "k3"]
    cases: list[tuple[Any, ...]] = [
        (unhandled_class, DICT, keys),
        (by_callee_of_callee, DICT, [*KEYS, 7, [1]]),
        (by_key, DICT, [*KEYS, [1]]),
        (divide, [1, 2, 0] * 30 + ["x"]),
        (attributes, [*THINGS, 5]),
    ]
    for function, *args in cases:
        expected = traceback_of(function, *args)
        with engine:
            for _ in range(5):
                assert traceback_of(function, *args) == expected


class Witness:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def __del__(self) -> None:
        self.log.append(f"{self.name} gone")


def held_by_frame(log: list[str], d: dict[int, int], k: int) -> int:
    one, two = Witness(log, "one"), Witness(log, "two")
    return d[k] + (one is two)


def test_what_the_traceback_holds_dies_with_the_exception(engine: Engine) -> None:
    def program() -> list[str]:
        log: list[str] = []
        d = {k: k for k in range(0, 60, 2)}
        for k in range(60):
            try:
                held_by_frame(log, d, k)
            except KeyError:
                log.append("handled")
            log.append("on")
        return log

    nobody_sees(engine, program)


def keep(items: list[Any], k: int) -> Any:
    made = [k, items]
    return items[k] if k % 2 else needed({}, str(made[0]))


def test_references(engine: Engine) -> None:
    class Key:
        pass

    key, items, d = Key(), [Key() for _ in range(5)], {k: Key() for k in range(0, 60, 3)}

    def program(n: int) -> int:
        missed = 0
        for i in range(n):
            try:
                keep(items, i % 9)
            except (IndexError, KeyError):
                missed += 1
            try:
                last = d[i]
            except KeyError:
                last = key
            try:
                (last, key, [i])[i % 5]
            except IndexError:
                missed += 10
        return missed

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(one) for one in (key, items, d, items[0], items[1], d[3])]

    expected = program(60)
    before = counts()
    with engine:
        for _ in range(8):
            assert program(60) == expected
    assert counts() == before
    gone = [weakref.ref(one) for one in items]
    items.clear()
    gc.collect()
    assert not any(one() for one in gone)


def test_tools_that_watch_exceptions_see_all(engine: Engine) -> None:
    monitoring = sys.monitoring
    tool = 3
    events = monitoring.events.RAISE, monitoring.events.EXCEPTION_HANDLED
    seen: list[int] = []

    def note(code: Any, offset: int, error: BaseException) -> None:
        if code is by_key.__code__:
            seen.append(offset)

    expected = by_key(DICT, KEYS)
    with engine:
        for _ in range(6):
            assert by_key(DICT, KEYS) == expected
        monitoring.use_tool_id(tool, "test")
        try:
            for event in events:
                monitoring.register_callback(tool, event, note)
            monitoring.set_events(tool, events[0] | events[1])
            assert by_key(DICT, KEYS) == expected
        finally:
            monitoring.set_events(tool, 0)
            for event in events:
                monitoring.register_callback(tool, event, None)
            monitoring.free_tool_id(tool)
        assert len(seen) == 2 * sum(key not in DICT for key in KEYS)
        del seen[:]
        assert by_key(DICT, KEYS) == expected and not seen


def test_a_class_that_changes(engine: Engine) -> None:
    """What a class of exceptions is taken for, is watched."""

    def program() -> Any:
        class Base(Exception):
            pass

        class Other(Exception):
            pass

        class Own(Base):
            pass

        caught: list[Any] = [0, 0]
        for k in range(120):
            try:
                try:
                    if k % 2:
                        raise Own(k)
                except Base:
                    caught[0] += 1
            except Other:
                caught[1] += 1
            if k == 80:
                Own.__bases__ = (Other,)
            if k == 100:
                Own.__init__ = lambda self, k: caught.append(k)  # type: ignore[method-assign, assignment, misc]
        return caught

    nobody_sees(engine, program)


def test_trace_functions(engine: Engine) -> None:
    lines: list[Any] = []

    def tracer(frame: Any, event: str, arg: Any) -> Any:
        if event == "exception":
            lines.append(frame.f_lineno)
        return tracer

    expected = by_key(DICT, KEYS)
    with engine:
        for _ in range(6):
            assert by_key(DICT, KEYS) == expected
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            by_key(DICT, KEYS)
        finally:
            sys.settrace(before)
    assert len(lines) == sum(key not in DICT for key in KEYS)


SCRIPT = compile(
    """
d = {k: k for k in range(0, 200, 3)}
items = [1.5, 2.5]
n = missed = 0
last = None
for k in range(200):
    try:
        last = d[k]
        n += last
    except KeyError as error:
        missed += 1
        last = None
    try:
        n += items[k % 4]
    except IndexError:
        try:
            last = d[n]
        except KeyError:
            last = "neither"
""",
    "script",
    "exec",
)


def test_names_of_scripts(engine: Engine) -> None:
    def program() -> Any:
        namespace: dict[str, Any] = {}
        exec(SCRIPT, namespace)
        del namespace["__builtins__"]
        return namespace

    nobody_sees(engine, program)


def wrapped(log: list[Any], d: dict[int, Any], k: int) -> Any:
    text = f"key {k}"
    pair = [text, log]
    if k % 5 == 4:
        raise Special(text, pair, k)
    return d[k], pair


def test_what_ended_frames_held(engine: Engine) -> None:
    """Operands of expressions under way, arguments of exceptions, locals of callees: all of it goes, once."""

    class Value:
        pass

    values = [Value() for _ in range(4)]

    def program() -> Any:
        log: list[Any] = []
        d: dict[int, Any] = {k: values[k % 4] for k in range(0, 100, 3)}
        for k in range(100):
            try:
                log.append([str(k), (values[k % 4], k), wrapped(log, d, k)][1:2])
            except Special:
                log = log[-7:]
            except KeyError:
                log.append(values[k % 3])
                if len(log) > 50:
                    log.clear()
        return len(log)

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(value) for value in values]

    expected, before = program(), counts()
    with engine:
        for _ in range(8):
            assert program() == expected
    assert counts() == before


class Ended:
    log: list[Any] = []

    def __init__(self, k: int) -> None:
        self.k = k

    def __del__(self) -> None:
        frame = sys._getframe(1)
        self.log.append((self.k, frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno))

    def divided(self, by: int) -> int:
        return self.k // by


def has_attribute(holder: Any, k: int) -> int:
    held = holder.k
    return held.divided(k % 3)


def has_item(holder: Any, k: int) -> int:
    held = holder[0]
    return held.divided(k % 3)


def lets_go_of_attribute(k: int) -> Any:
    holder: Any = Thing(k)
    holder.k = Ended(k)
    try:
        return has_attribute(holder, k)
    except ZeroDivisionError:
        holder.k = None
        return k


def lets_go_of_item(k: int) -> Any:
    holder: Any = [Ended(k)]
    try:
        return has_item(holder, k)
    except ZeroDivisionError:
        holder[0] = None
        return k


def lets_go_of_holder(k: int) -> Any:
    holder: Any = (Ended(k), k)
    try:
        return has_item(holder, k)
    except ZeroDivisionError:
        holder = None
        return k


def lets_go_of_key(k: int) -> Any:
    holder: Any = {0: Ended(k)}
    try:
        return has_item(holder, k)
    except ZeroDivisionError:
        del holder[0]
        return k


def lets_go_by_taking(k: int) -> Any:
    holder: Any = [Ended(k)]
    try:
        return has_item(holder, k)
    except ZeroDivisionError:
        holder.pop()
        return k


def lets_go_twice(k: int) -> Any:
    holder: Any = [Ended(k)]
    other: Any = holder[0]
    try:
        return has_item(holder, k)
    except ZeroDivisionError:
        holder[0] = other = 1
        return k, other


LETTING_GO = [lets_go_of_attribute, lets_go_of_item, lets_go_of_holder, lets_go_of_key, lets_go_by_taking, lets_go_twice]


@pytest.mark.parametrize("lets_go", LETTING_GO, ids=lambda lets_go: lets_go.__name__)
def test_what_goes_with_an_exception_is_no_other_owner(engine: Engine, lets_go: Callable[[int], Any]) -> None:
    """The handler lets go of what the ended frames have as well: its end comes with the exception's, and with true frames."""

    def program() -> Any:
        Ended.log.clear()
        out = []
        for k in range(100):
            out.append(lets_go(k))
            Ended.log.append("next")
        return out, list(Ended.log)

    nobody_sees(engine, program)
    assert "internal_error" not in engine.refusals
