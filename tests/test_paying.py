"""Regions have to pay their way: what does nothing between entry and exit is taken out again, what works is made better."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest
from jitcore.optimizer.ir import Graph, Signature
from jitcore.tracing.decode import code_info
from jitcore.tracing.targets import DirectTarget
from jitcore.tracing.translate import Translation

from jitcore import Engine
from jitcore.regions import LoopSite


def numbers(n: int) -> Iterator[int]:
    k = 0
    while k < n:
        yield k
        k += 1


def busy(n: int) -> int:
    total = 0
    for k in range(n):
        total += k & 7
    return total


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(threshold=20, function_threshold=500, tier_threshold=2000, background=False, deopt_every=0)
    made.enable()
    if made.inactive_reason is not None:
        pytest.skip(made.inactive_reason)
    yield made
    made.close()


def test_a_loop_that_leaves_in_every_round_is_retired(engine: Engine) -> None:
    iterator = numbers(10**6)
    for expected in range(5000):
        assert next(iterator) == expected
    site = next(s for s in engine.sites.values() if s.code is numbers.__code__)
    assert site.state == "refused" and site.reason == "not_profitable" and not site.regions
    assert "not_profitable" in engine.stats().refusals


def test_a_loop_that_works_gets_better_code(engine: Engine) -> None:
    for _ in range(20):
        assert busy(1000) == 3500
    site = next(s for s in engine.sites.values() if s.code is busy.__code__)
    assert [region.tier for region in site.regions] == ["full"]


def late(n: int, start: int) -> int:
    total = 0
    for k in range(n):
        if k > start:
            total += 3
        total += 1
    return total


def test_a_way_first_taken_after_compiling_gets_native_code(engine: Engine) -> None:
    """The recording behind the exit begins after the branch: that it went the other way has to be told."""
    for _ in range(4):
        assert late(30_000, 1000) == 30_000 + 3 * 28_999
    site = next(s for s in engine.sites.values() if s.code is late.__code__)
    (region,) = site.regions
    assert engine.bridges == 1 and region.entry.entries < 200


class Box(int):
    """With an attribute that calls out: a descriptor of C code."""

    value = int.__dict__["real"]


def attribute(box: Box) -> int:
    return box.value + box.value * box.value


def test_a_refused_function_is_not_counted_any_more() -> None:
    box = Box(3)
    with Engine(function_threshold=20, deopt_every=0) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        for _ in range(2000):
            attribute(box)
        if engine.runtime is None or "not_profitable" not in engine.stats().refusals:
            pytest.fail("the function was meant to be refused")
        before = engine.runtime.counters()["starts"]
        for _ in map(attribute, [box] * 1000):
            pass
        assert engine.runtime.counters()["starts"] - before < 100


SHORT = """
def short(items):
    total = 0
    for item in items:
        total += item
    yield total
"""


def test_a_loop_that_is_short_is_retired_and_a_longer_one_stays(engine: Engine) -> None:
    for items, state in (((1, 2), "refused"), (tuple(range(60)), "live")):
        engine.sites.clear()
        namespace = dict(globals())
        exec(compile(SHORT, "<short>", "exec"), namespace)
        function = namespace["short"]
        for _ in range(3000):
            assert list(function(items)) == [sum(items)]
        site = next(s for s in engine.sites.values() if s.code is function.__code__ and s.offset >= 0)
        assert site.state == state


def test_regions_that_most_events_do_not_fit_are_retired(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from jitcore import engine as module

    monkeypatch.setattr(module, "PATIENCE", 200)
    kinds: list[tuple[object, ...]] = [(1, 2), (1.0, 2.0), ("a", "b"), (b"a", b"b"), ((1,), (2,)), (1j, 2j)]
    namespace = dict(globals())
    exec(compile(SHORT.replace("0", "items[0]"), "<kinds>", "exec"), namespace)
    function = namespace["short"]
    deque(map(next, map(function, kinds * 3000)), maxlen=0)
    sites = [s for s in engine.sites.values() if s.code is function.__code__ and s.offset >= 0]
    assert [s.state for s in sites] == ["refused"]
    assert next(function((1, 2))) == 4


def attributes(boxes: list[Box]) -> int:
    total = 0
    for box in boxes:
        total += box.value
    return total


def nested(boxes: list[Box], n: int) -> int:
    total = 0
    for box in boxes:
        total += box.value + box.value * box.value - box.value
        for k in range(n):
            total += k & 7
    return total


@pytest.fixture
def engine_for_loops() -> Iterator[Engine]:
    """One that makes no functions, so that loops are entered by their own doors."""
    with Engine(threshold=20, tier_threshold=2000, function_threshold=10**8, background=False, deopt_every=0) as made:
        if made.inactive_reason is not None:
            pytest.skip(made.inactive_reason)
        yield made


def test_calls_out_of_native_code_count_by_how_often_they_are_made(engine_for_loops: Engine) -> None:
    engine = engine_for_loops
    boxes = [Box(k) for k in range(40)]
    # Called by C code, so that nothing has these loops inside.
    assert set(map(attributes, [boxes] * 200)) == {780}
    assert set(map(nested, [boxes] * 200, [200] * 200)) == {sum(k * k for k in range(40)) + 40 * 700}
    (short_one,) = [s for s in engine.sites.values() if s.code is attributes.__code__ and s.offset >= 0]
    assert short_one.reason == "not_profitable" and not short_one.regions
    long_ones = [s for s in engine.sites.values() if s.code is nested.__code__ and s.offset >= 0]
    assert long_ones and all(s.state == "live" and s.regions for s in long_ones)


def leaves_at_once(n: int) -> Iterator[int] | int:
    """Long enough to be worth a door, if it were covered."""
    if n < 0:
        return 0
    try:
        raise KeyError(n)
    except KeyError as error:
        total = error.args[0] + 1
        total += total * 2 - n
        total ^= n | 3
        total -= n % 7
        return total


def leaves_later(n: int, limit: int) -> int:
    total = n * 3 + 1
    total += (n & 15) * (n | 1) - (n >> 2)
    total ^= n % 13
    if n > limit:
        try:
            raise KeyError(total)
        except KeyError as error:
            total = error.args[0]
    total += (n & 7) * (n | 1) - (n >> 2)
    total ^= n % 11
    total += (n & 3) * (n | 1) - (n >> 1)
    return total


def reason_of(engine: Engine, function: object) -> tuple[str, bool]:
    site = next(s for s in engine.sites.values() if s.code is function.__code__)  # type: ignore[attr-defined]
    return site.reason, bool(site.regions)


def test_a_function_whose_calls_would_leave_is_not_made(engine: Engine) -> None:
    assert len(set(map(leaves_at_once, range(3000)))) > 1000
    assert reason_of(engine, leaves_at_once) == ("not_profitable", False)


def test_a_function_whose_calls_leave_now_is_taken_out(engine: Engine) -> None:
    assert len(set(map(leaves_later, range(4000), [4000] * 4000))) > 3000  # called by C code: nothing has it inside
    assert reason_of(engine, leaves_later) == ("", True)
    entries = engine.stats().native_entries
    assert len(set(map(leaves_later, range(4001, 12000), [4000] * 8000))) > 6000
    assert reason_of(engine, leaves_later) == ("not_profitable", False)
    assert engine.stats().native_entries - entries < 3000


def two_ways(n: int, rare: int) -> int:
    total = n * 3 + 1
    if n % 4 == rare:
        return total
    total += (n & 15) * (n | 1) - (n >> 2)
    total ^= n % 13
    total += (n & 7) * (n | 1) - (n >> 2)
    total ^= n % 11
    total += (n & 3) * (n | 1) - (n >> 1)
    total -= n % 7
    return total


def test_what_is_behind_an_exit_is_waited_for(engine: Engine) -> None:
    """The recorded call took the short way: most others leave, until the long one is recorded as well."""
    for rare in (499 % 4, 500 % 4):
        assert len(set(map(two_ways, range(20_000), [rare] * 20_000))) > 1000
    reason, live = reason_of(engine, two_ways)
    assert (reason, live) == ("", True) and engine.bridges > 0
    exits = engine.stats().native_exits
    assert len(set(map(two_ways, range(4000), [0] * 4000))) > 1000
    assert engine.stats().native_exits - exits < 100


def chosen(kinds: list[object]) -> int:
    seen = 0
    for kind in kinds:
        seen += kind is None
    for one in kinds:
        seen += one is not None
    return seen


def test_what_a_loop_assigns_before_it_looks_at_it_may_be_anything(engine_for_loops: Engine) -> None:
    """A variable that is left over from the last round, or the last loop, has no part in which region fits."""
    engine = engine_for_loops
    lists: list[list[object]] = [[one] * 90 for one in ("text", None, [], (), b"", int, {})]
    assert list(map(chosen, lists * 20)) == [90] * 140
    sites = [s for s in engine.sites.values() if s.code is chosen.__code__ and s.offset >= 0]
    assert len(sites) == 2 and all(len(s.regions) == 1 for s in sites)


def long_leaf(n: int) -> int:
    total = n
    for k in range(4):
        total += (n + k) & 15
        total ^= (n & 7) * (k | 1) - (n >> 2)
        total += (n & 15) * (n | 1) - (n >> 2)
        total ^= n % 13 + (total & 3)
        total += (n & 7) * (n | 1) - (n >> 2) + (k & 1)
        total ^= n % 11 - (n & 63)
        total += (n & 3) * (n | 1) - (n >> 1)
        total -= n % 7 + (n & 31) * (k + 1)
        total &= (1 << 40) - 1
    return total


def calls_leaf(n: int) -> int:
    total = 0
    for i in range(n):
        total += long_leaf(i)
    return total


def test_what_only_native_code_calls_gets_better_code() -> None:
    """No door counts its use: it says so by leaving."""
    expected = sum(map(long_leaf, range(3000)))
    with Engine(threshold=20, tier_threshold=10**7, function_threshold=10**8, background=False, deopt_every=0) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        assert calls_leaf(3000) == calls_leaf(3000) == expected and engine.runtime is not None
        (region,) = [r for r in engine.regions if r.code is long_leaf.__code__ and r.offset < 0]
        assert region.tier == "none" and calls_leaf.__code__ in [r.code for r in region.target.callers]  # type: ignore[union-attr]
        engine.runtime.remove_function(long_leaf)
        region.ticks.value = 1000
        exits = engine.stats().native_exits
        assert calls_leaf(3000) == expected
        assert region.tier == "full"
        assert calls_leaf(3000) == expected
        assert 0 < engine.stats().native_exits - exits < 1000


class Other:
    def __init__(self, n: int) -> None:
        self.n = n


class Third(Other):
    pass


def of_one(one: Other, rare: int) -> int:
    total = n = one.n
    for k in range(4):
        total += (n + k) & 15
        total ^= (n & 7) * (k | 1) - (n >> 2)
        total += (n & 15) * (n | 1) - (n >> 2)
        total ^= n % 13 + (total & 3)
        total += (n & 7) * (n | 1) - (n >> 2) + (k & 1)
        total ^= n % 11 - (n & 63)
        total += (n & 3) * (n | 1) - (n >> 1)
        total -= n % 7 + (n & 31) * (k + 1)
        if n % 4 == rare:
            total += n * 3 - (total >> 1)
            total ^= k & 5
        total &= (1 << 40) - 1
    return total


def of_all(ones: list[Other], rare: int) -> int:
    total = 0
    for one in ones:
        total += of_one(one, rare)
    return total


def test_a_function_made_again_stays_what_its_callers_call(engine: Engine) -> None:
    """It was made for one class, meanwhile there is a version for any: its callers go on with theirs."""
    ones = [Other(k) for k in range(500)]
    more = [Third(k) for k in range(500)]
    for _ in range(4):
        of_all(ones, -1)
    for _ in range(4):
        assert len(set(map(of_one, more, [-1] * 500))) > 100
    made = [r.target.kinds[0] for r in engine.regions if r.code is of_one.__code__ and r.target is not None and r.state == "live"]
    assert made == [Other, object]
    for _ in range(6):
        of_all(ones, 2)
    exits = engine.stats().native_exits
    for _ in range(4):
        of_all(ones, 2)
    assert engine.bridges > 0 and engine.stats().native_exits - exits < 50


def depth(k: int) -> int:
    return k if k < 1 else depth(k - 1) + (k * 3 + 1) * (k * 5 + 2) - (k * 7 + 3) * (k & 3) + (k * 9 + 4) * (k & 7)


def test_a_recursive_function_is_kept_until_all_of_it_is_native(engine: Engine) -> None:
    """What is recorded first is where the recursion ends, which alone would not be worth a door."""
    assert set(map(depth, [0] * 600)) == {0}
    assert set(map(depth, [3] * 400)) == {316}
    site = next(s for s in engine.sites.values() if s.code is depth.__code__)
    assert site.state == "live" and site.remakes and "not_profitable" not in engine.stats().refusals


def test_a_function_that_mostly_gets_other_types_is_taken_out() -> None:
    """Its calls go through the door in vain, and the interpreter has to be called besides."""
    with Engine(function_threshold=500, background=False, max_versions=1, deopt_every=0) as engine:
        if engine.inactive_reason is not None:
            pytest.skip(engine.inactive_reason)
        assert deque(map(two_ways, range(3000), [4] * 3000), maxlen=1)
        assert reason_of(engine, two_ways) == ("", True)
        assert deque(map(polynomial, range(3000)), maxlen=1)[0] == polynomial(2999)
        assert reason_of(engine, polynomial) == ("", True)
        assert deque(map(polynomial, [0.5] * 120_000), maxlen=1)[0] == polynomial(0.5)
        assert reason_of(engine, polynomial) == ("not_profitable", False)
        assert reason_of(engine, two_ways) == ("", True)
        assert engine.runtime is not None
        before = engine.runtime.counters()["starts"]
        assert deque(map(polynomial, [0.5] * 1000), maxlen=1)
        assert engine.runtime.counters()["starts"] - before < 100


def polynomial(x: float) -> float:
    total = x * 3 + 1
    total += (x * 2 - 1) * (x + 1) - x * 5
    total -= x * x * x
    total += (x - 3) * (x + 1) - (x - 2)
    return total


def levels(node: object) -> int:
    if not isinstance(node, list):
        return 0
    most = 0
    for one in node:
        most = max(most, levels(one))
    return most + 1


def test_what_is_done_by_the_interpreter_is_nothing_gained() -> None:
    """A loop that calls its own function openly: what the recording saw of the calls, it does not do itself."""
    code = levels.__code__
    info = code_info(code)
    (head,) = info.loops
    body = info.loop_body(head)
    site = LoopSite(code, head)
    site.seen.update({(code, ins.offset): 10 if ins.offset in body else 30 for ins in info.instructions})
    rounds = Translation(Graph("rounds"), [], [], {code})
    rounds.covered = {(code, ins.offset): 0.5 for ins in info.instructions if ins.offset in body}
    assert site.round_length(rounds) == len(rounds.covered) / 2
    call = min(offset for _, offset in rounds.covered if info.at(offset).op.startswith("CALL"))
    rounds.calls_out = {(code, call): 12}
    assert site.round_length(rounds) == len(rounds.covered) / 2 - 12
    target = DirectTarget(levels, (object,), Signature("", "o"), covered={(code, ins.offset): 1.0 for ins in info.instructions})
    target.targets = [target]
    rounds.targets = [target]
    assert site.round_length(rounds) == sum(site.seen.values()) / 10 - 12
