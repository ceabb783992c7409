"""Iteration: iterators that exist only as numbers, and real ones stepped from native code.

`for` over a range, a list or a tuple, over `enumerate`, `zip` and `reversed` of these, and over any nesting of them needs
no iterator object. Such an iterator is an abstract value (`values.Iterator`): an index and a sequence, a count and what is
inside. `has_next` says as one condition whether another item is there, `step` gives it and the iterator moved on. Neither
has an effect, so up to the branch on that condition the interpreter can do the whole bytecode itself, with the iterator
made real in the frame state. The items of enumerate and zip are virtual tuples: unpacking them costs nothing.

One condition for a whole zip is exact although zip moves its first parts on before it finds that a later one has no more:
nobody else can see the parts of an iterator that exists only here, and the zip dies with them. For the same reason an
iterator that gets a second name (a local variable, another container) becomes a real object first.

What is left are iterator objects. Those over lists are stepped in place. The iterators of dicts, sets, strings and bytes
run no Python code unless an object dies in the step; `iter.quiet` finds out, and then they are stepped by a C call that
needs no true frame. A `__next__` written in Python is walked into. All others (generators, files) are opaque operations: `iter.next`
after the frame was made true. An exception from a step is raised by the interpreter, at FOR_ITER; see `failed`.

The order of destructors: an iterator lets go of its sequence when it is exhausted, a zip of all its parts a moment later.
Both happen within FOR_ITER or right behind it, and only where nothing can notice the difference, which `drop_check` makes
sure of in front of the bytecode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..optimizer.ir import Edge, Value
from ..optimizer.ops.iterators import QUIET
from .bytecode_table import bytecode
from .bytecodes_numbers import as_int
from .decode import Ins
from .special_methods import next_item
from .translate import SEQUENCE_OF, Leave
from .values import (
    AV,
    HEAP,
    OWNED,
    Const,
    EnumerateIter,
    Generator,
    Iterator,
    ListIter,
    Null,
    Num,
    Obj,
    Range,
    RangeIter,
    ReversedIter,
    Tagged,
    Tup,
    TupleIter,
    ZipIter,
    owned_parts,
)
from .versions import EXHAUSTED_KEEPS_ITERATOR, FOR_ITER_PAIR, WIDTH, exhausted_target
from .views import viewed

if TYPE_CHECKING:
    from .translate import Translator

PAIRED = (list, tuple)
COUNT_LIMIT = 1 << 61
"""Counts of enumerate start below this, so that no loop can bring them to the end of 64 bits."""

EXHAUSTED = iter(())
"""What a loop's slot holds between the end of its iteration and the bytecode that pops it, where there is one."""

SMALL = 1 << 62
"""Ranges of smaller numbers are gone over without overflow."""
CLOSED_ITERABLES: dict[type, type] = {
    dict: type(iter({})),
    set: type(iter(set())),
    frozenset: type(iter(frozenset())),
    bytes: type(iter(b"")),
    bytearray: type(iter(bytearray())),
    type({}.keys()): type(iter({}.keys())),
    type({}.values()): type(iter({}.values())),
    type({}.items()): type(iter({}.items())),
}
"""Exact types whose `iter()` runs no Python code, with the type of what it gives. (str has two iterator types.)"""


# ---- virtual iterators -------------------------------------------------------------------------------------------------


def is_small(numbers: range) -> bool:
    return max(abs(numbers.start), abs(numbers.stop), abs(numbers.step)) < SMALL


def virtual(t: Translator, av: AV, kind: type | None) -> Iterator | None:
    """The virtual iterator over av, which it takes over; None where there is no such thing. `kind`: av's type."""
    if isinstance(av, Iterator):
        return av
    if isinstance(av, Range):
        return RangeIter(av.start, t.emit("int.range_len", av.start, av.stop, av.step), av.step)
    if isinstance(av, Const) and type(av.obj) is range:
        r = av.obj
        if not is_small(r):
            return None
        return RangeIter(t.const_i(r.start), t.const_i(len(r)), t.const_i(r.step))
    if kind is range and isinstance(av, Obj):
        return over_range(t, av)
    if kind not in PAIRED:
        return None
    if isinstance(av, Tup):
        av = Obj(t.owned_value(av), tuple, OWNED)
    return (ListIter if kind is list else TupleIter)(t.const_i(0), av)


def over_range(t: Translator, av: Obj) -> RangeIter:
    """The iterator over a range object that was made elsewhere, if that counts with small steps to small numbers."""
    start, stop, step, length = (
        t.emit("obj.unbox_int", t.emit("field.o", av.value, imm=(f"RANGE_{name}",))) for name in ("START", "STOP", "STEP", "LENGTH")
    )
    for number in (start, stop, step):
        t.guard(t.emit("int.below", t.emit("int.add", number, t.const_i(SMALL // 2)), t.const_i(SMALL)))
    t.drop(av)
    return RangeIter(start, length, step)


def can_be_virtual(t: Translator, av: AV, kinds: set[Any]) -> bool:
    """Whether `virtual` has an answer; checks av's type where one was recorded."""
    if isinstance(av, Iterator | Range):
        return True
    if isinstance(av, Const) and type(av.obj) is range:
        return is_small(av.obj)
    known = t.type_of(av)
    if known is None and len(kinds) == 1 and kinds <= set(PAIRED):
        known = t.specialise(av, kinds)
    return known in PAIRED and isinstance(av, Obj | Const | Tup)


def sequence_of(t: Translator, it: ListIter) -> Value:
    return t.boxed(it.sequence)


def has_next(t: Translator, it: Iterator) -> Value:
    """Whether there is another item, now. Lists may have grown or shrunk since the last step."""
    if isinstance(it, RangeIter):
        return t.emit("int.gt", it.length, t.const_i(0))
    if isinstance(it, ListIter):
        length = t.emit(f"{it.over.__name__}.len", sequence_of(t, it))
        # An index of -1 is below nothing.
        return t.emit("int.below", it.index, length)
    if isinstance(it, EnumerateIter):
        return has_next(t, it.inner)
    assert isinstance(it, ZipIter)
    more = has_next(t, it.inner[0])
    for part in it.inner[1:]:
        more = t.emit("bool.and", more, has_next(t, part))
    return more


def step(t: Translator, it: Iterator) -> tuple[AV, Iterator]:
    """The next item, known to be there, and the iterator behind it."""
    if isinstance(it, RangeIter):
        start = t.emit("int.add_fits", it.start, it.step)
        return Num(it.start), RangeIter(start, t.emit("int.sub_fits", it.length, t.const_i(1)), it.step)
    if isinstance(it, ListIter):
        item = t.emit(f"{it.over.__name__}.get", sequence_of(t, it), it.index)
        move = "int.sub_fits" if isinstance(it, ReversedIter) else "int.add_fits"
        return Obj(item, None, HEAP), type(it)(t.emit(move, it.index, t.const_i(1)), it.sequence)
    if isinstance(it, EnumerateIter):
        item_, inner = step(t, it.inner)
        return Tup([Num(it.count), item_]), EnumerateIter(t.emit("int.add_fits", it.count, t.const_i(1)), inner)
    assert isinstance(it, ZipIter)
    stepped = [step(t, part) for part in it.inner]
    return Tup([item for item, _ in stepped]), ZipIter(tuple(inner for _, inner in stepped))


def new_iterator(t: Translator, it: Iterator) -> Value:
    """The real iterator in that state, owned; `it` is then dead."""
    parts = [t.owned_value(part) for part in it.parts]
    if isinstance(it, RangeIter):
        return t.emit("iter.new_range", *it.values)
    if isinstance(it, ReversedIter):
        return t.emit("iter.new_reversed", *parts, *it.values)
    if isinstance(it, ListIter):
        return t.emit("iter.new_sequence", *parts, *it.values)
    if isinstance(it, EnumerateIter):
        return t.emit("iter.new_enumerate", *parts, *it.values)
    return t.emit("iter.new_zip", *parts)


def settled(t: Translator, av: AV) -> AV:
    """av, or the real object for an iterator that is about to get a second name."""
    return Obj(new_iterator(t, av), av.kind, OWNED) if isinstance(av, Iterator) else av


# ---- calls that make iterators -----------------------------------------------------------------------------------------


def call_enumerate(t: Translator, args: list[AV], names: tuple[str, ...], kinds: list[set[Any]]) -> Iterator | None:
    if not 1 <= len(args) <= 2 or names not in ((), ("start",)) or len(args) - len(names) != 1 and names:
        return None
    start = t.const_i(0)
    if len(args) == 2:
        number = t.number(args[1], kinds[1])
        if number is None or number.repr == "f":
            return None
        start = as_int(t, number)
    if not can_be_virtual(t, args[0], kinds[0]):
        return None
    t.guard(t.emit("int.lt", start, t.const_i(COUNT_LIMIT)))
    t.drop_check(*args[1:])
    inner = virtual(t, args[0], t.type_of(args[0]))
    assert inner is not None
    for av in args[1:]:
        t.drop(av)
    return EnumerateIter(start, inner)


def call_zip(t: Translator, args: list[AV], names: tuple[str, ...], kinds: list[set[Any]]) -> Iterator | None:
    if names or not args or not all([can_be_virtual(t, av, k) for av, k in zip(args, kinds, strict=True)]):
        return None
    inner = [virtual(t, av, t.type_of(av)) for av in args]
    return ZipIter(tuple(it for it in inner if it is not None))


def call_reversed(t: Translator, args: list[AV], names: tuple[str, ...], kinds: list[set[Any]]) -> Iterator | None:
    if names or len(args) != 1:
        return None
    av = args[0]
    if isinstance(av, Range | Const):
        it = virtual(t, av, None)
        if not isinstance(it, RangeIter):
            return None
        last = t.emit("int.add", it.start, t.emit("int.mul", t.emit("int.sub", it.length, t.const_i(1)), it.step))
        return RangeIter(last, it.length, t.emit("int.sub", t.const_i(0), it.step))
    if isinstance(av, Obj) and t.specialise(av, kinds[0] if kinds[0] == {list} else set()) is list:
        return ReversedIter(t.emit("int.sub", t.emit("list.len", av.value), t.const_i(1)), av)
    return None


Maker = Callable[["Translator", list[AV], tuple[str, ...], list[set[Any]]], Iterator | None]
MAKERS: dict[int, Maker] = {id(enumerate): call_enumerate, id(zip): call_zip, id(reversed): call_reversed}


def make_by_call(t: Translator, target: object, args: list[AV], operands: list[AV], names: tuple[str, ...]) -> bool:
    """Do a call of enumerate, zip or reversed that gives a virtual iterator; it takes its arguments over. False, with
    nothing done, for any other call. `operands`: all that the call pops, with callable and keyword names."""
    maker = MAKERS.get(id(target))
    if maker is None:
        return False
    first = t.expected_operands() - len(args) - (len(operands) - 2 - len(args))
    made = maker(t, args, names, [t.expected(first + k) for k in range(len(args))])
    if made is None:
        return False
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    t.push(made)
    return True


# ---- the bytecodes -----------------------------------------------------------------------------------------------------


@bytecode("GET_ITER")
def get_iter(t: Translator, ins: Ins) -> None:
    from .generators import iterate

    av = t.peek()
    if isinstance(av, Generator):
        push_iterator(t, t.pop())
        return
    kind = t.specialise(av, t.expected(0))
    view, base = viewed(t, av, kind, "__iter__")
    inside = virtual(t, view, base) if base is not kind else None
    made = iterator_over(t, av, kind) if inside is None else [inside, Null()] if FOR_ITER_PAIR else [inside]
    if made is not None:
        t.pop()
        t.frame.stack += made
        return
    if kind is None or not iterate(t, ins, kind):
        t.opaque("PyObject_GetIter", [av], npop=1, arrange=lambda made: push_iterator(t, made))


def iterator_over(t: Translator, av: AV, kind: type | None) -> list[AV] | None:
    """The slots of an iterator over av, which it takes over, if asking for it runs no code. None, with nothing done, for others."""
    if FOR_ITER_PAIR and kind in PAIRED:
        if not isinstance(av, Obj):
            t.reject_hidden(av)
            av = Obj(t.owned_value(av), kind, OWNED)
        return [av, Tagged(t.const_i(0))]
    made = virtual(t, av, kind)
    if made is None and (kind is str or kind in CLOSED_ITERABLES):
        result = t.emit("call.closed", t.boxed(av), imm=("PyObject_GetIter", ()))
        t.emit("guard", t.emit("obj.is_null", result), imm=(False,), state=t.retry_state())
        t.drop(av)  # the iterator holds it
        made = Obj(result, CLOSED_ITERABLES.get(kind), OWNED)  # type: ignore[arg-type, assignment]
    return None if made is None else [made, Null()] if FOR_ITER_PAIR else [made]


def push_iterator(t: Translator, iterator: AV) -> None:
    t.push(iterator)
    if FOR_ITER_PAIR:
        t.push(Null())


@bytecode("FOR_ITER")
def for_iter(t: Translator, ins: Ins) -> None:
    from .generators import go_on

    stack = t.frame.stack
    iterator = stack[-WIDTH]
    obs = t.observation(ins)
    seen_next = obs is not None and obs.not_taken > 0
    seen_end = obs is not None and obs.taken > 0
    if isinstance(iterator, Iterator):
        for_virtual(t, ins, iterator, seen_next, seen_end)
    elif isinstance(iterator, Generator):
        go_on(t, ins, iterator)
    elif FOR_ITER_PAIR and isinstance(stack[-1], Tagged):
        for_indexed(t, ins, seen_next, seen_end)
    elif isinstance(iterator, Obj):
        kind = t.specialise(iterator, t.expected(0))
        if kind in SEQUENCE_OF:
            for_in_place(t, ins, iterator, SEQUENCE_OF[kind].__name__, seen_next, seen_end)
        elif kind is None or not next_item(t, ins, kind):
            for_object(t, ins, iterator, kind, seen_next, seen_end)
    else:
        raise Leave("unsupported_operand_types", "iterator")


def for_virtual(t: Translator, ins: Ins, it: Iterator, seen_next: bool, seen_end: bool) -> None:
    """Both sides from one state: the body sees the item and the advanced iterator, the end finds it popped."""

    def body() -> None:
        current = t.frame.stack[-WIDTH]
        assert isinstance(current, Iterator)
        item, t.frame.stack[-WIDTH] = step(t, current)
        t.push(item)

    def end() -> None:
        leave_loop(t)

    t.split(has_next(t, it), (ins.next, seen_next, body), (exhausted_target(ins), seen_end, end))


def leave_loop(t: Translator) -> None:
    """An iterator is exhausted and lets go of what it holds. It is popped now or by the bytecode at the end of the loop."""
    iterator = t.frame.stack[-WIDTH]
    if owned_parts(iterator):
        t.drop_check(iterator)
        t.promote_heap()
    finish_loop(t)
    t.drop(iterator)


def finish_loop(t: Translator) -> None:
    """What is on the stack where the interpreter goes on after exhaustion; the iterator was taken care of."""
    if EXHAUSTED_KEEPS_ITERATOR:
        if not isinstance(t.frame.stack[-WIDTH], RangeIter):
            t.frame.stack[-WIDTH] = Const(EXHAUSTED)
    else:
        del t.frame.stack[len(t.frame.stack) - WIDTH :]


def for_indexed(t: Translator, ins: Ins, seen_next: bool, seen_end: bool) -> None:
    """3.15 keeps the sequence and an unboxed index instead of an iterator."""
    sequence, at = t.peek(2), t.peek(1)
    kind = t.type_of(sequence)
    if not (isinstance(sequence, Obj) and isinstance(at, Tagged) and kind in PAIRED):
        raise Leave("unsupported_operand_types", f"iteration over {kind}")
    name = kind.__name__  # type: ignore[union-attr]
    more = t.emit("int.lt", at.value, t.emit(f"{name}.len", sequence.value))

    def body() -> None:
        item = t.emit(f"{name}.get", sequence.value, at.value)
        t.frame.stack[-1] = Tagged(t.emit("int.add", at.value, t.const_i(1)))
        t.push(Obj(item, None, HEAP))

    t.split(more, (ins.next, seen_next, body), (exhausted_target(ins), seen_end, None))


def for_in_place(t: Translator, ins: Ins, iterator: Obj, name: str, seen_next: bool, seen_end: bool) -> None:
    """An iterator object over a list or a tuple that others may hold too: its index is moved on in memory."""
    sequence = t.emit("field.o", iterator.value, imm=("LISTITER_SEQ",))
    t.guard(t.emit("obj.is_null", sequence), False)
    at = t.emit("field.i", iterator.value, imm=("LISTITER_INDEX",))
    more = t.emit("int.lt", at, t.emit(f"{name}.len", sequence))

    def body() -> None:
        item = t.emit(f"{name}.get", sequence, at)
        t.emit("field.set_i", iterator.value, t.emit("int.add", at, t.const_i(1)), imm=("LISTITER_INDEX",))
        t.push(Obj(item, None, HEAP))

    def end() -> None:
        # The iterator dies here and lets go of its sequence; what anybody else could notice is left alone.
        t.guard(t.emit("obj.shared", iterator.value), False)
        leave_loop(t)

    whole = iterator.owner is OWNED
    t.split(
        more, (ins.next, seen_next, body), (exhausted_target(ins), seen_end, end) if whole else (None, seen_end, None)
    )


def for_object(t: Translator, ins: Ins, iterator: Obj, kind: type | None, seen_next: bool, seen_end: bool) -> None:
    """Any other iterator object, stepped by its own function."""
    value, target = iterator.value, exhausted_target(ins)
    quiet = QUIET.get(kind) if kind is not None and iterator.owner is OWNED else None
    container = None
    if quiet is not None:
        t.guard(t.emit("iter.quiet", value, imm=(kind,)))
        container = t.emit("field.o", value, imm=(quiet.container,)) if quiet.container else t.emit("obj.null")
        item = t.emit("iter.next", value)
    else:
        t.begin_opaque()
        item = t.emit("call.object", value, imm=("PyIter_Next", ()))

    def body() -> None:
        t.push(Obj(item, None, OWNED))
        if container is None:
            t.end_opaque()

    def end() -> None:
        if container is not None:
            failed(t, ins, value, container)
            finish_loop(t)
            # Exhausted, it holds nothing any more that could run code.
            t.emit("obj.drop", value)
            return
        mine = t.frame.stack[-WIDTH]
        del t.frame.stack[len(t.frame.stack) - WIDTH :]
        t.release(mine)
        t.raised(t.emit("call.raised"), True, WIDTH)
        if EXHAUSTED_KEEPS_ITERATOR:
            push_iterator(t, Const(EXHAUSTED))
        t.end_opaque(target)

    more = t.emit("bool.not", t.emit("obj.is_null", item))
    t.split(more, (ins.next, seen_next, body), (target, seen_end, end), late=True)


def failed(t: Translator, ins: Ins, iterator: Value, container: Value) -> None:
    """Leave where a quiet step gave nothing because of an exception (the container was changed). The iterator is put back
    to where it was: the interpreter does the step once more and raises the same exception itself."""
    wrong, well = t.graph.block("failed"), t.graph.block("exhausted")
    t.current.branch(t.emit("call.raised"), Edge(wrong, []), Edge(well, []))
    t.block = wrong
    t.emit("iter.undo", iterator, container)
    wrong.exit(t.frame_state(ins.start, reason="raised", when="after"))
    t.block = well
