"""Graphs as text: what is printed parses to the same text, and objects keep their identity."""

from __future__ import annotations

import math

import pytest
from jitcore.optimizer.ir import Slot
from jitcore.optimizer.text import Symbols, TextError, parse, quote, show


def sample(a: object, b: object) -> object:
    return a


BIG = 10**30
NOT_INTERNED = "".join(["not ", "interned"])


def symbols() -> Symbols:
    return Symbols(f=sample.__code__, func=sample, big=BIG, text=NOT_INTERNED, int=int)


EVERYTHING = """graph "f@12"
block entry.0():
  %0:o = frame.local [slot=0]
  %1:b = obj.type_is %0 [type=@int]
  guard %1 [expected=True] else mismatch before "entry"
  %2:i = obj.unbox_int %0 else resume before "no int" #3 frame @f+12 call 10 {0: new %0, 1: const @big} [null, const None]
  %3:f = const.f [value=-0.0]
  %4:f = const.f [value=-nan]
  %5:f = const.f [value=1e-07]
  %6:o = const.o [object=@text]
  %7:b = poll
  %8:o = call.object %0, %6 [function="PyNumber_Add", extra=(1, -2,)]
  jump loop.1(%2, %3)
block loop.1(%9:i, %10:f):
  %11:i = int.add_ovf %9, %2 else resume after "overflow; \\"big\\"" frame @f+12 call 10 {} [] frame @f+4 call 2 func @func {0: steal %8} [box %9, tagged %9, local 1, poison] poison(null, poison)
  %12:b = int.lt %11, %2
  branch %12 ? loop.1(%11, %10) : "<done>.2"(%11)
block "<done>.2"(%13:i):
  exit return before "left" = box %13 frame @f+20 call 20 {0: &1=range_iter(%13, %2, %2), 1: enumerate(%2, zip(sequence_iter(%13, steal %8), reversed_iter(%2, const @big)))} [tuple(&1, box %10, tuple()), &1, zip(), generator 12(const @big, null, &1, sequence_iter(%2, steal %8))]
"""  # noqa: E501


def test_round_trip() -> None:
    table = symbols()
    graph = parse(EVERYTHING, table)
    assert show(graph, table) == EVERYTHING


def test_objects_keep_identity() -> None:
    graph = parse(EVERYTHING, symbols())
    ops = {op.name: op for block in graph.blocks for op in block.ops}
    assert ops["const.o"].imm[0] is NOT_INTERNED
    assert ops["obj.type_is"].imm[0] is int
    state = ops["int.add_ovf"].state
    assert state is not None and state.reason == 'overflow; "big"'
    assert state.frames[1].func is sample and state.frames[1].code is sample.__code__
    assert state.frames[1].poison == ("null", "poison")
    last = graph.blocks[2].state
    assert last is not None
    assert last.frames[0].stack[0].parts[0] is last.frames[0].stack[1] is last.frames[0].locals[0]
    nan = graph.blocks[0].ops[5].imm[0]
    assert isinstance(nan, float) and math.isnan(nan) and math.copysign(1.0, nan) < 0


def test_invented_names() -> None:
    table = Symbols()
    text = show(parse(EVERYTHING, symbols()), table)
    assert "@sample+12" in text and "func @sample_2" in text
    assert show(parse(text, table), table) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('graph "g" block a(): jump b()', "no block b"),
        ('graph "g" block a(): int.what jump a()', "no operation int.what"),
        ('graph "g" block a(): jump a(%1)', "%1 is not defined"),
        ('graph "g" block a(): %0:f = const.i [value=1] jump a()', "results in i"),
        ('graph "g" block a(): %0:i = const.i [what=1] jump a()', "no immediate what"),
        ('graph "g" block a(): %0:o = const.o [object=@gone] jump a()', "@gone"),
        ('graph "g" block a(): jump a() block a(): jump a()', "twice"),
        ('graph "g" ~', "unknown character"),
    ],
)
def test_errors_name_the_token(text: str, message: str) -> None:
    with pytest.raises(TextError, match=message):
        parse(text)


def test_quote() -> None:
    for text in ("", 'a"b', "it's", "\\", "a\nb", "\x00\x7f", "é\U0001f600"):
        assert parse(f"graph {quote(text)}").name == text


def test_unreachable_blocks_are_shown() -> None:
    text = 'graph "g"\nblock a():\n  jump a()\nblock b(%0:i):\n  %1:i = int.add %0, %0\n  unfinished\n'
    graph = parse(text)
    assert show(graph) == text
    assert graph.blocks[1].term == ""


def test_slots_default() -> None:
    assert Slot("null").values == () and list(Slot("tuple", parts=(Slot("null"),)).each_value()) == []
