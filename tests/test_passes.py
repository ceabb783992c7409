"""Each pass: text in, text out; and random programs evaluate alike before and after."""

from __future__ import annotations

import ctypes
import math
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jitcore.backends.reference import Program, word
from jitcore.backends.reference.machine import Machine
from jitcore.optimizer.ir import Edge, FrameRec, Graph, Op, Slot, State, Value
from jitcore.optimizer.passes import PASSES, run
from jitcore.optimizer.registry import OPS
from jitcore.optimizer.text import Symbols, parse, show
from jitcore.optimizer.verify import VerifyError, verify

from jitcore.abi import LAYOUT, memory


def sample(a: object, b: object) -> object:
    return a


class Heap:
    """A class whose instances may change their class."""


SYMBOLS = {
    "f": sample.__code__,
    "func": sample,
    "int": int,
    "float": float,
    "list": list,
    "Heap": Heap,
    "o": object(),
    "five": 5,
    "names": {},
}
X = 'else resume before "x" frame @f+4 call 4 {} []'


def after(name: str, body: str) -> str:
    """The graph's text after one pass, without states and type suffixes, on one line a block."""
    table = Symbols(**SYMBOLS)
    graph = parse('graph "g" ' + body.replace("EXIT", 'exit resume before "end" frame @f+8 call 8'), table)
    verify(graph)
    before = show(graph, table)
    made = run(graph, [name], check=True)
    text = show(graph, table)
    assert made or text == before, "changed something and did not say so"
    assert show(parse(text, table), table) == text
    text = (
        text.partition("\n")[2]
        .replace(" " + X, " !")
        .replace('exit resume before "end" frame @f+8 call 8', "EXIT")
    )
    return re.sub(r"\s+", " ", text).strip()


def same(name: str, body: str, expected: str) -> None:
    assert after(name, body) == re.sub(r"\s+", " ", expected).strip()


def test_fold_constants() -> None:
    same(
        "fold",
        f"""block a(): %0:i = const.i [value=6] %1:i = const.i [value=7] %2:i = int.mul_ovf %0, %1 {X}
            %3:b = int.lt %2, %0 EXIT {{0: box %2}} [box %3]""",
        """block a(): %0:i = const.i [value=6] %1:i = const.i [value=7] %2:i = const.i [value=42]
           %3:b = const.b [value=False] EXIT {0: box %2} [box %3]""",
    )


def test_fold_guard_that_fails() -> None:
    same(
        "fold",
        f"""block a(): %0:i = const.i [value=9223372036854775807] %1:i = int.add_ovf %0, %0 {X} jump b(%1)
            block b(%2:i): EXIT {{0: box %2}} []""",
        "block a(): %0:i = const.i [value=9223372036854775807] "
        'exit resume before "x" frame @f+4 call 4 {} []',
    )


def test_fold_identities() -> None:
    same(
        "fold",
        f"""block a(): %0:o = frame.local [slot=0] %1:i = obj.unbox_int %0 {X} %2:i = const.i [value=0]
            %3:i = int.add_ovf %2, %1 {X} %4:i = int.xor %3, %2 %5:i = int.sub %4, %4
            %6:b = int.le %4, %1 EXIT {{0: box %4, 1: box %5}} [box %6]""",
        """block a(): %0:o = frame.local [slot=0] %1:i = obj.unbox_int %0 ! %2:i = const.i [value=0]
           %3:i = const.i [value=0] %4:b = const.b [value=True] EXIT {0: box %1, 1: box %3} [box %4]""",
    )


def test_fold_keeps_inexact_float_identities() -> None:
    body = f"""block a(): %0:o = frame.local [slot=0] %1:f = obj.unbox_float %0 {X} %2:f = const.f [value=0.0]
            %3:f = float.add %1, %2 %4:f = float.mul %1, %2 %5:f = float.sub %1, %1 %6:b = float.eq %1, %1
            EXIT {{0: box %3}} [box %4, box %5, box %6]"""
    assert after("fold", body) == re.sub(
        r"\s+", " ", body.replace(X, "!").replace("{{", "{").replace("}}", "}")
    )
    same(
        "fold",
        f"""block a(): %0:o = frame.local [slot=0] %1:f = obj.unbox_float %0 {X} %2:f = const.f [value=-0.0]
            %3:f = float.add %1, %2 %4:f = float.neg %3 %5:f = float.neg %4 EXIT {{0: box %5}} []""",
        """block a(): %0:o = frame.local [slot=0] %1:f = obj.unbox_float %0 ! %2:f = const.f [value=-0.0]
           %3:f = float.neg %1 EXIT {0: box %1} []""",
    )


def test_fold_branch_and_not() -> None:
    same(
        "fold",
        f"""block a(): %0:b = poll %1:b = bool.not %0 guard %1 [expected=True] {X} branch %1 ? b() : c()
            block b(): %2:b = const.b [value=True] branch %2 ? d() : c()
            block c(): EXIT {{}} [] block d(): EXIT {{}} [null]""",
        """block a(): %0:b = poll %1:b = bool.not %0 guard %0 [expected=False] ! branch %0 ? c() : b()
           block b(): %2:b = const.b [value=True] jump d() block c(): EXIT {} [] block d(): EXIT {} [null]""",
    )


def test_fold_boxes_and_types() -> None:
    same(
        "fold",
        f"""block a(): %0:b = poll %1:i = int.from_bool %0 %2:o = obj.box_int %1 %3:i = obj.unbox_int %2 {X.replace("[]", "[steal %2]")}
            %4:b = obj.type_is %2 [type=@int] guard %4 [expected=True] {X.replace("[]", "[steal %2]")} %5:i = const.i [value=0]
            %6:b = int.ne %3, %5 %7:o = const.o [object=@five] %8:b = obj.type_is %7 [type=@float]
            EXIT {{0: steal %2}} [box %6, box %8]""",
        """block a(): %0:b = poll %1:i = int.from_bool %0 %2:o = obj.box_int %1
           %3:b = const.b [value=True] %4:i = const.i [value=0] %5:o = const.o [object=@five]
           %6:b = const.b [value=False] EXIT {0: steal %2} [box %0, box %6]""",
    )


@pytest.mark.parametrize(
    ("between", "held", "reused"),
    [
        ("", "", True),
        (f"%9:i = int.add_ovf %2, %2 {X}", "", True),
        ("%9:i = list.len %1 %10:o = obj.box_int %9", "steal %10", True),
        ('%9:o = call.closed %1 [function="PyObject_Repr", extra=()]', "steal %9", True),
        ("obj.incref %0", "steal %0", True),
        ("obj.incref %1 obj.drop %1", "", False),
        ("%9:i = const.i [value=0] list.set_int %1, %9, %9 [old=None]", "", False),
        ("obj.incref %1 list.append %1, %1", "", False),
        ("obj.incref %1 frame.store_local %1 [slot=1]", "", False),
        ('%9:o = call.object %1 [function="PyObject_Repr", extra=()]', "steal %9", False),
        ("jump b() block b():", "", False),
    ],
)
def test_fold_unboxed_and_boxed_again(between: str, held: str, reused: bool) -> None:
    """The object that the number came from will do, as long as nothing could have let go of it, or have written to it."""
    text = after(
        "fold",
        f"""block a(): %0:o = frame.local [slot=0] %1:o = frame.local [slot=1] %2:i = obj.unbox_int %0 {X} {between}
            %20:o = obj.box_int %2 EXIT {{0: steal %20}} [{held}]""",
    )
    if reused:
        assert "obj.incref %0 EXIT {0: steal %0}" in text and text.count("obj.box_int") == between.count("obj.box_int")
    else:
        assert "obj.box_int %2 EXIT {" in text


def test_gvn_repeated_guards_and_pure_operations() -> None:
    same(
        "gvn",
        f"""block a(): %0:o = frame.local [slot=0] %1:i = obj.unbox_int %0 {X} %2:i = int.add_ovf %1, %1 {X}
            %3:b = int.lt %1, %2 branch %3 ? b() : c()
            block b(): %4:i = obj.unbox_int %0 {X} %5:i = int.add_ovf %4, %1 {X} %6:b = int.lt %1, %5
              guard %6 [expected=True] {X} EXIT {{0: box %5}} []
            block c(): %7:i = int.mul %1, %2 %8:i = int.mul %2, %1 branch %3 ? b() : d()
            block d(): EXIT {{0: box %8}} []""",
        # c's branch is decided, so b has one predecessor only after this pass
        """block a(): %0:o = frame.local [slot=0] %1:i = obj.unbox_int %0 ! %2:i = int.add_ovf %1, %1 !
            %3:b = int.lt %1, %2 branch %3 ? b() : c()
            block b(): guard %3 [expected=True] ! EXIT {0: box %2} []
            block c(): %4:i = int.mul %1, %2 jump d()
            block d(): EXIT {0: box %4} []""",
    )


def test_gvn_siblings_do_not_share() -> None:
    body = """block a(): %0:b = poll branch %0 ? b() : c()
            block b(): %1:i = int.from_bool %0 EXIT {0: box %1} []
            block c(): %2:i = int.from_bool %0 EXIT {0: box %2} []"""
    assert after("gvn", body).count("int.from_bool") == 2


def test_gvn_distinguishes_constants() -> None:
    body = """block a(): %0:f = const.f [value=0.0] %1:f = const.f [value=-0.0] %2:f = const.f [value=0.0]
            %3:i = const.i [value=1] %4:b = const.b [value=True]
              EXIT {} [box %0, box %1, box %2, box %3, box %4]"""
    assert "[box %0, box %1, box %0, box %2, box %3]" in after("gvn", body)


def test_gvn_loads() -> None:
    same(
        "gvn",
        """block a(): %0:o = frame.local [slot=0] %1:i = list.len %0 %2:i = list.len %0 jump b()
           block b(): %3:i = list.len %0 obj.incref %0 list.append %0, %0 %4:i = list.len %0 EXIT {}
           [box %1, box %2, box %3, box %4]""",
        """block a(): %0:o = frame.local [slot=0] %1:i = list.len %0 jump b() block b(): obj.incref %0
           list.append %0, %0 %2:i = list.len %0 EXIT {} [box %1, box %1, box %1, box %2]""",
    )
    loop = """block a(): %0:o = frame.local [slot=0] %1:i = list.len %0 jump b()
              block b(): %2:i = list.len %0 %3:b = poll branch %3 ? b() : c() block c():
                EXIT {} [box %1, box %2]"""
    assert after("gvn", loop).count("list.len") == 2


def test_gvn_stores_are_known() -> None:
    same(
        "gvn",
        """block a(): %0:o = frame.local [slot=0] %1:o = frame.local [slot=1] obj.incref %1
          frame.store_local %1 [slot=0]
           %2:o = frame.local [slot=0] %3:o = frame.local [slot=1] EXIT {} [new %2, new %3]""",
        """block a(): %0:o = frame.local [slot=0] %1:o = frame.local [slot=1] obj.incref %1
           frame.store_local %1 [slot=0] EXIT {} [new %1, new %1]""",
    )


def test_gvn_types_of_heap_classes() -> None:
    body = """block a(): %0:o = frame.local [slot=0] %1:b = obj.type_is %0 [type=@KIND]
        %2:o = call.object %0 [function="PyObject_Repr", extra=()] %3:b = obj.type_is %0 [type=@KIND]
        EXIT {} [box %1, box %3]"""
    assert after("gvn", body.replace("KIND", "Heap")).count("type_is") == 2
    assert after("gvn", body.replace("KIND", "int")).count("type_is") == 1


def test_gvn_known_types() -> None:
    """After a check, and after an unboxing: no second check, a load for an unboxing, and numbers end quietly."""
    same(
        "gvn",
        f"""block a(): %0:o = frame.local [slot=0] %1:b = obj.type_is %0 [type=@float] guard %1 [expected=True] {X}
           %2:f = obj.unbox_float %0 {X} %3:b = obj.drop_is_safe %0 guard %3 [expected=True] {X} jump b()
           block b(): %4:b = obj.type_is %0 [type=@int] branch %4 ? c() : d()
           block c(): EXIT {{}} [] block d(): %5:f = obj.unbox_float %0 {X} %6:o = frame.local [slot=1]
           %7:i = obj.unbox_int %6 {X} %8:b = obj.type_is %6 [type=@int] %9:b = obj.outlives %6 [drops=2]
           %10:i = obj.unbox_int %6 {X} EXIT {{}} [box %2, box %5, box %7, box %8, box %9, box %10]""",
        """block a(): %0:o = frame.local [slot=0] %1:b = obj.type_is %0 [type=@float] guard %1 [expected=True] !
           %2:f = obj.float_value %0 %3:b = const.b [value=True] guard %3 [expected=True] ! jump b()
           block b(): %4:b = const.b [value=False] branch %4 ? c() : d() block c(): EXIT {} []
           block d(): %5:o = frame.local [slot=1] %6:i = obj.unbox_int %5 ! %7:b = const.b [value=True]
           %8:b = const.b [value=True] EXIT {} [box %2, box %2, box %6, box %7, box %8, box %6]""",
    )


def test_gvn_types_hold_on_one_side_only() -> None:
    body = f"""block a(): %0:o = frame.local [slot=0] %1:b = obj.type_is %0 [type=@float] branch %1 ? b() : c()
           block b(): %2:f = obj.unbox_float %0 {X} EXIT {{0: box %2}} []
           block c(): %3:f = obj.unbox_float %0 {X} EXIT {{0: box %3}} []"""
    text = after("gvn", body)
    assert text.count("obj.float_value") == 1 and text.count("obj.unbox_float") == 1
    heap = body.replace("@float", "@Heap")
    assert after("gvn", heap).count("obj.unbox_float") == 2


@pytest.mark.parametrize(
    ("stored", "known"),
    [
        ("list.set_float %1, %2, %9 [old=None]", False),
        ("list.set_float %1, %3, %9 [old=None]", True),
        ("list.set_float %1, %4, %9 [old=None]", False),
        ("%8:o = list.set %1, %3, %1", True),
        ("list.append %0, %1", False),
        ("obj.incref %1", True),
    ],
)
def test_gvn_items(stored: str, known: bool) -> None:
    """A store leaves alone what is at another constant index of any list, and the sizes."""
    body = f"""block a(): %0:o = frame.local [slot=0] %1:o = frame.local [slot=1] %2:i = const.i [value=2]
           %3:i = const.i [value=3] %20:o = frame.local [slot=2] %4:i = obj.unbox_int %20 {X} %9:f = const.f [value=1.5]
           %5:o = list.get %0, %2 %6:i = list.len %0 obj.incref %1 {stored} %21:o = list.get %0, %2 %22:i = list.len %0
           EXIT {{}} [new %5, new %21, box %6, box %22]"""
    text = after("gvn", body)
    assert (text.count("list.get") == 1) is known
    assert (text.count("list.len") == 1) is not stored.startswith("list.append")


def test_gvn_what_a_store_put_there() -> None:
    """Also through the type that the old item had, which the store then need not look at."""
    same(
        "gvn",
        f"""block a(): %0:o = frame.local [slot=0] %1:i = const.i [value=1] %2:o = list.get %0, %1 %3:f = obj.unbox_float %2 {X}
           %4:f = float.add %3, %3 list.set_float %0, %1, %4 [old=None] %5:o = list.get %0, %1
           %6:f = obj.unbox_float %5 else resume before "x" frame @f+6 call 6 {{}} []
           list.set_float %0, %1, %6 [old=None] EXIT {{0: box %6}} []""",
        """block a(): %0:o = frame.local [slot=0] %1:i = const.i [value=1] %2:o = list.get %0, %1 %3:f = obj.unbox_float %2 !
           %4:f = float.add %3, %3 list.set_float %0, %1, %4 [old=@float] %5:o = list.get %0, %1
           list.set_float %0, %1, %4 [old=@float] EXIT {0: box %4} []""",
    )


@pytest.mark.parametrize(
    ("stored", "known"),
    [
        ("values.put %1, %3 [type=@Heap, place=1]", True),
        ("values.put %1, %3 [type=@Heap, place=0]", False),
        ("values.put_float %1, %9 [type=@Heap, place=0, old=None]", False),
        ("slot.put_int %1, %4 [type=@Heap, place=24, old=None]", True),
        ("%8:o = list.set %1, %4, %3", True),
        ('%8:o = call.object %1 [function="PyObject_Repr", extra=()]', False),
    ],
)
def test_gvn_attributes(stored: str, known: bool) -> None:
    """A store leaves alone what is at another place of any instance."""
    body = f"""block a(): %0:o = frame.local [slot=0] %1:o = frame.local [slot=1] %3:o = frame.local [slot=2]
           %20:o = frame.local [slot=3] %4:i = obj.unbox_int %20 {X} %9:f = const.f [value=1.5] %5:o = values.get %0 [type=@Heap, place=0]
           obj.incref %3 {stored} %6:o = values.get %0 [type=@Heap, place=0] EXIT {{}} [new %5, new %6]"""
    assert (after("gvn", body).count("values.get") == 1) is known


def test_gvn_what_an_attribute_was_given() -> None:
    same(
        "gvn",
        f"""block a(): %0:o = frame.local [slot=0] %1:b = values.valid %0 [type=@Heap] guard %1 [expected=True] {X}
           %2:o = values.get %0 [type=@Heap, place=2] %3:f = obj.unbox_float %2 {X} %4:f = float.add %3, %3
           values.put_float %0, %4 [type=@Heap, place=2, old=None] %5:b = values.valid %0 [type=@Heap] guard %5 [expected=True]
           else resume before "x" frame @f+6 call 6 {{}} []
           %6:o = values.get %0 [type=@Heap, place=2] %7:f = obj.unbox_float %6
           else resume before "x" frame @f+6 call 6 {{}} [] %8:o = const.o [object=@o]
           values.put %0, %8 [type=@Heap, place=3] %9:o = values.get %0 [type=@Heap, place=3] EXIT {{0: box %7}} [new %9]""",
        """block a(): %0:o = frame.local [slot=0] %1:b = values.valid %0 [type=@Heap] guard %1 [expected=True] !
           %2:o = values.get %0 [type=@Heap, place=2] %3:f = obj.unbox_float %2 ! %4:f = float.add %3, %3
           values.put_float %0, %4 [type=@Heap, place=2, old=@float] %5:o = values.get %0 [type=@Heap, place=2]
           %6:o = const.o [object=@o] values.put %0, %6 [type=@Heap, place=3] EXIT {0: box %4} [new %6]""",
    )


def test_dce() -> None:
    same(
        "dce",
        f"""block a(): %0:i = const.i [value=1] %1:f = const.f [value=1.0] jump b(%0, %1, %0)
            block b(%2:i, %3:f, %4:i): %5:i = int.add_ovf %2, %0 {X} %6:f = float.neg %3 %7:b = poll
              %8:o = obj.box_int %5 obj.incref %8 obj.drop %8 obj.drop %8
              branch %7 ? b(%5, %6, %4) : c(%5) block c(%9:i): EXIT {{0: box %4, 1: box %9}} []
            block d(): EXIT {{}} []""",
        """block a(): %0:i = const.i [value=1] jump b(%0) block b(%1:i): %2:i = int.add_ovf %1, %0 !
           %3:b = poll branch %3 ? b(%2) : c() block c(): EXIT {0: box %0, 1: box %2} []""",
    )


def test_dce_keeps_boxes_in_use() -> None:
    body = """block a(): %0:i = const.i [value=1] %1:o = obj.box_int %0 obj.incref %1 obj.drop %1
              %2:o = frame.local [slot=0] list.append %2, %1 EXIT {} []"""
    assert after("dce", body) == re.sub(r"\s+", " ", body)


def test_jumps() -> None:
    same(
        "jumps",
        """block a(): %0:b = poll jump b(%0) block b(%1:b): branch %1 ? c() : d(%1)
           block c(): jump e(%1) block d(%2:b): jump f(%2) block f(%3:b): jump e(%3)
           block e(%4:b): EXIT {0: box %4} []""",
        """block a(): %0:b = poll branch %0 ? e(%0) : e(%0) block e(%1:b): EXIT {0: box %1} []""",
    )


def test_jumps_keep_loops() -> None:
    same(
        "jumps",
        """block a(): jump b() block b(): %0:b = poll branch %0 ? c() : d() block c(): jump b()
           block d(): EXIT {} []""",
        "block a(): jump b() block b(): %0:b = poll branch %0 ? b() : d() block d(): EXIT {} []",
    )
    assert after("jumps", "block a(): jump b() block b(): jump c() block c(): jump b()").endswith(
        "c(): jump c()"
    )


@pytest.mark.parametrize(
    ("between", "cancelled"),
    [
        ("", True),
        (f"%9:i = obj.unbox_int %0 {X}", True),
        ("%9:i = list.len %1", True),
        ('%9:b = poll guard %9 [expected=False] else resume before "x" frame @f+4 call 4 {} [new %0]', True),
        ('%9:b = poll guard %9 [expected=False] else resume before "x" frame @f+4 call 4 {} [steal %0]', True),
        ("%9:b = obj.ends_safely %1", True),
        (f"%9:b = obj.ends_safely %0 guard %9 [expected=True] {X}", True),
        ("obj.incref %1 obj.drop %1", True),
        ("obj.drop %2", False),
        ("%9:b = obj.shared %1", False),
        ("list.append %1, %0", False),
        ("%9:i = const.i [value=0] list.set_int %1, %9, %9 [old=None]", False),
        ("frame.store_local %2 [slot=1]", False),
        ('%9:o = call.object %1 [function="PyObject_Repr", extra=()]', False),
        ("call.dealloc %2", False),
    ],
)
def test_refcount(between: str, cancelled: bool) -> None:
    body = f"""block a(): %0:o = frame.local [slot=0] %1:o = frame.local [slot=1]
      %2:o = {"frame.stack" if "else" in between else "frame.take_stack"} [depth=0]
        obj.incref %0 {between} obj.drop %0 EXIT {{}} []"""
    if (
        "append" in between
    ):  # one more reference, for the verifier; the later incref is the one that may cancel
        body = body.replace("obj.incref %0", "obj.incref %0 obj.incref %0")
    text = after("refcount", body)
    assert ("obj.drop %0" not in text) == cancelled
    assert text.count("obj.incref %0") == (0 if cancelled else body.count("obj.incref %0"))


def test_what_a_state_takes_over_is_lent_without_the_incref() -> None:
    state = 'else resume before "x" frame @f+4 call 4 {0: steal %0} [steal %0, new %0]'
    guard = f"%9:b = poll guard %9 [expected=False] {state}"
    begin = "block a(): %0:o = frame.local [slot=0]"
    text = after("refcount", f"{begin} obj.incref %0 obj.incref %0 {guard} obj.drop %0 obj.drop %0 EXIT {{}} []")
    assert "incref" not in text and "{0: new %0} [new %0, new %0]" in text
    # One of them is for good.
    text = after("refcount", f"{begin} obj.incref %0 obj.incref %0 {guard} obj.drop %0 EXIT {{0: steal %0}} []")
    assert text.count("incref") == 1 and "{0: new %0} [steal %0, new %0]" in text


def test_what_linked_frames_show_is_not_lent() -> None:
    frames = "frame @f+4 call 4 {} [] frame @f+8 call 8 func @func"
    text = after(
        "refcount",
        f"""block a(): %0:o = frame.local [slot=0] %1:i = frame.link [frames=1] else resume before "x" {frames} {{0: new %0}} []
        %2:b = poll branch %2 ? b() : c() block b(): jump d() block c(): jump d() block d(): obj.incref %0
        %3:b = poll guard %3 [expected=False] else resume after "x" {frames} {{0: steal %0}} [] obj.drop %0 %5:b = frame.unlink %1 EXIT {{}} []""",
    )
    assert "steal %0" in text and "incref" in text


def test_whose_end_need_not_be_asked_for() -> None:
    ask = f"%9:b = obj.outlives %0 [drops=2] guard %9 [expected=True] {X} obj.drop %0 obj.drop %0"
    begin = "block a(): %0:o = frame.local [slot=0] obj.incref %0"
    assert "outlives" not in after("refcount", f"{begin} obj.incref %0 {ask} EXIT {{}} []")
    assert "outlives" in after("refcount", f"{begin} {ask.removesuffix('obj.drop %0')} EXIT {{}} []")
    # Other references may have gone.
    between = "%8:o = frame.take_stack [depth=0] obj.drop %8"
    ask = f"%9:b = obj.ends_safely %0 guard %9 [expected=True] {X} obj.drop %0"
    assert "ends_safely" in after("refcount", f"{begin} {between} {ask} EXIT {{}} []")


A = 'else resume after "hoisted" frame @f+8 call 8 {} []'
ROW = f"""block a(): %0:o = frame.local [slot=0] %1:o = frame.local [slot=1] %2:i = obj.unbox_int %1 {X} anchor {A} jump h(%2)
          block h(%3:i): %4:i = list.len %0 %5:b = int.below %2, %4 guard %5 [expected=True] {X} %6:o = list.get %0, %2
            %7:b = obj.type_is %6 [type=@list] guard %7 [expected=True] {X} %8:i = list.len %6 %9:b = int.below %3, %8
            guard %9 [expected=True] {X} %10:o = list.get %6, %3 %11:i = obj.unbox_int %10 {X} BODY
            %30:b = poll branch %30 ? x() : h(%11)
          block x(): EXIT {{}} []"""


def rounds(body: str, text: str = ROW) -> tuple[str, str]:
    """What stands before the loop after hoisting, and what is left in it."""
    found = after("hoist", text.replace("BODY", body)).replace(" " + A, " ^")
    before, _, inside = found.partition("jump h")
    return before, inside.partition("block x")[0]


def test_hoist_takes_checks_along() -> None:
    before, inside = rounds("")
    assert re.sub(r"%\d+", "%", before).split("obj.unbox_int % ! ")[1] == (
        "%:b = obj.is_null % guard % [expected=False] ^ %:b = obj.type_is % [type=@list] guard % [expected=True] ^ "
        "%:i = list.len % %:b = int.below %, % guard % [expected=True] ^ "
        "%:i = list.len % %:b = int.below %, % guard % [expected=True] ^ %:o = list.get %, % "
        "%:b = obj.is_null % guard % [expected=False] ^ %:b = obj.type_is % [type=@list] guard % [expected=True] ^ "
        "%:i = list.len % "
    )
    # What depends on the round stays, with the state that it had.
    assert re.sub(r"%\d+", "%", inside) == (
        "(%) block h(%:i): %:b = int.below %, % guard % [expected=True] ! %:o = list.get %, % %:i = obj.unbox_int % ! "
        "%:b = poll branch % ? x() : h(%) "
    )


@pytest.mark.parametrize(
    ("body", "loads", "checks"),
    [
        ("", 4, 6),  # of the list its size (twice: one for the check that goes along) and the row, of the row its size
        ("%20:f = const.f [value=1.0] list.set_float %6, %3, %20 [old=@float]", 4, 6),
        ("%20:f = const.f [value=1.0] list.set_float %6, %3, %20 [old=None]", 1, 3),  # the item may have been the row
        ("obj.incref %6 %20:o = list.set %6, %3, %6 obj.drop %20", 1, 3),
        ("obj.incref %10 list.append %6, %10", 0, 0),
        ('%20:o = call.object %0 [function="PyObject_Repr", extra=()] obj.drop %20', 0, 0),
    ],
)
def test_hoist_and_what_the_loop_writes(body: str, loads: int, checks: int) -> None:
    before, _ = rounds(body)
    assert before.count("= list.") == loads
    assert before.count("guard") == checks


FIELD = f"""block a(): %0:o = frame.local [slot=0] %1:f = const.f [value=1.0] anchor {A} jump h(%1)
          block h(%2:f): %3:b = obj.is_null %0 guard %3 [expected=False] {X} %4:b = obj.type_is %0 [type=@Heap]
            guard %4 [expected=True] {X} %5:b = values.valid %0 [type=@Heap] guard %5 [expected=True] {X}
            %6:o = values.get %0 [type=@Heap, place=0] %7:f = obj.unbox_float %6 {X} BODY %8:f = float.add %2, %7
            %30:b = poll branch %30 ? x() : h(%8)
          block x(): EXIT {{0: box %2}} []"""


@pytest.mark.parametrize(
    ("body", "moved"),
    [
        ("", "all"),
        ("values.put_float %0, %2 [type=@Heap, place=1, old=None]", "all"),
        ("values.put_float %0, %2 [type=@Heap, place=0, old=None]", "checks"),
        ('%20:o = call.object %0 [function="PyObject_Repr", extra=()] obj.drop %20', "nothing"),
    ],
)
def test_hoist_attributes(body: str, moved: str) -> None:
    """With the checks that they rely on. A class is checked anew in each round where any code may run in it."""
    before, inside = rounds(body, FIELD)
    assert ("values.get" in before) is ("values.get" not in inside) is (moved == "all")
    assert ("obj.type_is" in before) is ("obj.type_is" not in inside) is (moved != "nothing")
    if moved == "all":
        assert before.index("obj.is_null") < before.index("obj.type_is") < before.index("values.valid") < before.index("values.get")
        assert "obj.unbox_float" in before and "guard" in before


def test_hoist_only_what_every_round_does() -> None:
    sometimes = f"""block a(): %0:o = frame.local [slot=0] %1:o = frame.local [slot=1] anchor {A} jump h()
          block h(): %2:b = poll branch %2 ? y() : n()
          block y(): %3:i = obj.unbox_int %0 {X} jump e()
          block n(): jump e()
          block e(): %4:i = obj.unbox_int %1 {X} %5:b = poll branch %5 ? x() : h()
          block x(): EXIT {{}} []"""
    before, inside = rounds("", sometimes)
    assert before.count("obj.unbox_int") == 1 and before.index("%1") < before.index("obj.unbox_int %1")
    assert inside.count("obj.unbox_int %0 !") == 1


def test_hoist_out_of_nests() -> None:
    nest = f"""block a(): %0:o = frame.local [slot=0] %1:i = const.i [value=0] anchor {A} jump h(%1)
          block h(%2:i): anchor {A.replace("{}", "{0: box %2}")} jump i(%2)
          block i(%3:i): %4:i = obj.unbox_int %0 {X} %5:b = int.lt %4, %2 guard %5 [expected=True] {X}
            %6:i = int.add %3, %4 %7:b = poll branch %7 ? o() : i(%6)
          block o(): %8:b = poll branch %8 ? x() : h(%6)
          block x(): EXIT {{}} []"""
    text = after("hoist", nest)
    first, _, rest = text.partition("jump h")
    middle, _, inner = rest.partition("jump i")
    assert "obj.unbox_int" in first and "hoisted" in first and "{0: box" not in first
    assert "int.lt" in middle and "{0: box" in middle and "obj.unbox_int" not in middle
    assert "guard" not in inner and "int.add" in inner


def test_hoist_needs_an_anchor_and_one_way_in() -> None:
    assert after("hoist", ROW.replace("BODY", "").replace(f"anchor {A}", "")).count("block h") == 1
    before, _ = rounds("", ROW.replace(f"anchor {A}", ""))
    assert "guard" not in before
    two = f"""block a(): %0:o = frame.local [slot=0] %1:b = poll branch %1 ? b() : c()
          block b(): anchor {A} jump h() block c(): anchor {A} jump h()
          block h(): %2:i = obj.unbox_int %0 {X} %3:b = poll branch %3 ? x() : h()
          block x(): EXIT {{}} []"""
    text = after("hoist", two)
    assert "anchor" not in text and "obj.unbox_int" in text.partition("block h")[2]


def ranged(text: str) -> str:
    """What becomes of a graph whose `%0` and `%1` are any ints."""
    first = f"""block a(): %90:o = frame.local [slot=0] %0:i = obj.unbox_int %90 {X}
        %91:o = frame.local [slot=1] %1:i = obj.unbox_int %91 {X} """
    return after("ranges", first + text.replace("!", X))


@pytest.mark.parametrize(
    "facts, op, becomes",
    [
        ("%2:i = const.i [value=255] %3:i = int.and %0, %2", "int.add_ovf %3, %3 !", "int.add_fits"),
        ("%2:i = const.i [value=255] %3:i = int.and %0, %2", "int.add_ovf %3, %1 !", "int.add_ovf"),
        ("%2:i = const.i [value=255] %3:i = int.and %0, %2", "int.mul_ovf %3, %3 !", "int.mul_fits"),
        ("%2:i = const.i [value=255] %3:i = int.and %0, %2", "int.and %3, %2", ""),
        ("%2:i = const.i [value=254] %3:i = int.and %0, %2", "int.and %3, %2", "int.and"),
        ("%2:i = const.i [value=255] %3:i = int.and %0, %2", "int.sub_ovf %3, %2 !", "int.sub_fits"),
        ("%2:i = const.i [value=-9] %3:i = int.mod %0, %2", "int.sub_ovf %3, %2 !", "int.sub_fits"),
        ("%2:i = const.i [value=7] %3:i = int.mod %0, %2", "int.shl_ovf %3, %2 !", "int.shl_ovf"),
        ("%2:i = const.i [value=60] %3:i = int.shr %0, %2", "int.mul_ovf %3, %3 !", "int.mul_fits"),
        ("%2:b = int.lt %0, %1 guard %2 [expected=True] ! %3:i = const.i [value=1]", "int.add_ovf %0, %3 !", "int.add_fits"),
        ("%2:b = int.le %0, %1 guard %2 [expected=True] ! %3:i = const.i [value=1]", "int.add_ovf %0, %3 !", "int.add_ovf"),
        ("%2:b = int.ge %0, %1 guard %2 [expected=False] ! %3:i = const.i [value=1]", "int.sub_ovf %1, %3 !", "int.sub_fits"),
        ("%2:b = int.gt %0, %1 guard %2 [expected=True] ! %3:i = const.i [value=1]", "int.sub_ovf %0, %3 !", "int.sub_fits"),
        ("%2:i = const.i [value=1] %3:b = int.eq %0, %2 guard %3 [expected=True] !", "int.add_ovf %0, %2 !", "int.add_fits"),
        ("%2:i = tuple.len %90 %3:i = const.i [value=2]", "int.mul_ovf %2, %3 !", "int.mul_fits"),
    ],
)
def test_ranges_of_arithmetic(facts: str, op: str, becomes: str) -> None:
    before = ranged(f"{facts} EXIT {{0: box %0}} []")
    text = ranged(f"{facts} %7:i = {op} EXIT {{0: box %7}} []")
    left = re.findall(r"int\.\w+", text)[len(re.findall(r"int\.\w+", before)) :]
    assert left == [becomes] * bool(becomes)


@pytest.mark.parametrize(
    "facts, cond, outcome",
    [
        ("%2:i = tuple.len %90 %3:i = const.i [value=0]", "int.lt %2, %3", False),
        ("%2:i = tuple.len %90 %3:i = const.i [value=0]", "int.lt %3, %2", None),
        ("%2:b = int.lt %0, %1 guard %2 [expected=True] !", "int.lt %0, %1", True),
        ("%2:b = int.lt %0, %1 guard %2 [expected=True] !", "int.ge %0, %1", False),
        ("%2:b = int.lt %0, %1 guard %2 [expected=True] !", "int.gt %1, %0", True),
        ("%2:b = int.lt %0, %1 guard %2 [expected=True] !", "int.eq %1, %0", False),
        ("%2:b = int.lt %0, %1 guard %2 [expected=True] !", "int.below %0, %1", None),
        ("%2:b = int.lt %0, %1 guard %2 [expected=False] !", "int.lt %0, %1", None),
        ("%2:i = tuple.len %90 %3:b = int.below %0, %2 guard %3 [expected=True] ! %4:i = const.i [value=0]", "int.lt %0, %4", False),
        ("%2:i = tuple.len %90 %3:b = int.below %0, %2 guard %3 [expected=True] !", "int.below %0, %2", True),
        ("%2:b = int.below %0, %1 guard %2 [expected=True] ! %4:i = const.i [value=0]", "int.lt %0, %4", None),
        ("%2:i = const.i [value=9] %3:i = int.mod %0, %2", "int.exact_double %3", True),
        ("", "int.exact_double %0", None),
        ("%2:i = const.i [value=3] %3:b = int.eq %0, %2 guard %3 [expected=True] !", "int.ne %0, %2", False),
    ],
)
def test_ranges_of_conditions(facts: str, cond: str, outcome: bool | None) -> None:
    text = ranged(f"{facts} %7:b = {cond} EXIT {{0: box %7}} []")
    last = re.findall(r"%\d+:b = (\S+ ?\S*)", text)[-1]
    assert last == f"const.b [value={outcome}]" if outcome is not None else last.startswith(cond.split()[0])


def test_ranges_of_division() -> None:
    text = ranged(
        """%2:i = const.i [value=0] %3:b = int.ge %0, %2 guard %3 [expected=True] ! %4:b = int.gt %1, %2
        guard %4 [expected=True] ! %5:i = int.floordiv %0, %1 %6:i = int.mod %0, %1 %7:i = int.mod %1, %0
        %8:i = int.mod %6, %1 EXIT {0: box %5, 1: box %6, 2: box %7, 3: box %8} []"""
    )
    assert re.findall(r"int\.(?:floordiv|mod|div_pos|rem_pos)", text) == ["int.div_pos", "int.rem_pos", "int.mod", "int.rem_pos"]


def test_ranges_hold_on_one_side_only() -> None:
    text = ranged(
        """%2:b = int.lt %0, %1 %3:i = const.i [value=1] branch %2 ? b() : c()
        block b(): %4:i = int.add_ovf %0, %3 ! jump d(%4)
        block c(): %5:i = int.add_ovf %0, %3 ! jump d(%5)
        block d(%6:i): %7:i = int.add_ovf %0, %3 ! EXIT {0: box %6, 1: box %7} []"""
    )
    assert re.findall(r"int\.add_\w+", text) == ["int.add_fits", "int.add_ovf", "int.add_ovf"]


COUNTED = """%2:i = const.i [value=0] %3:i = const.i [value=1] %4:i = tuple.len %90 %5:i = int.range_len START, STOP, STEP
    jump h(START, %5)
    block h(%6:i, %7:i): %8:b = int.gt %7, %2 branch %8 ? body() : out()
    block body(): %10:i = int.add_fits %6, STEP %11:i = int.sub_fits %7, %3 %12:b = int.below %6, %4
        %13:i = int.add_ovf %6, %3 ! %14:b = int.lt %6, %2 jump more(%12, %14)
    block more(%15:b, %16:b): %17:i = const.i [value=5] jump h(%10, %11)
    block out(): EXIT {0: box %6} []"""


@pytest.mark.parametrize(
    "start, stop, step, bounded, natural",
    [("%2", "%4", "%3", True, True), ("%2", "%1", "%3", False, True), ("%0", "%4", "%3", False, False), ("%4", "%2", "%20", False, True)],
)
def test_ranges_of_counting_loops(start: str, stop: str, step: str, bounded: bool, natural: bool) -> None:
    """A loop over range(start, stop, step): whether its item is known to be in the tuple, and not to be negative."""
    minus = "%20:i = const.i [value=-1] " if step == "%20" else ""
    text = COUNTED.replace("START", start).replace("STOP", stop).replace("STEP", step)
    body = ranged(minus + text).split("block body")[1]
    assert ("int.below" not in body, "int.lt" not in body) == (bounded, natural)
    assert body.count("int.add_fits") == 2


def test_ranges_of_a_loop_that_grows() -> None:
    """What a loop-carried value adds up to is not bounded by what its first rounds were."""
    text = ranged(
        """%2:i = const.i [value=0] %3:i = const.i [value=3] jump h(%2, %2)
        block h(%4:i, %5:i): %6:i = int.add_ovf %4, %3 ! %7:i = int.and %5, %3 %8:i = int.add_ovf %7, %3 !
        %9:b = int.lt %4, %2 %10:b = int.lt %8, %6 branch %10 ? h2() : out() block h2(): jump h(%6, %8)
        block out(): EXIT {0: box %4, 1: box %9} []"""
    )
    assert re.findall(r"int\.add_\w+", text) == ["int.add_ovf", "int.add_fits"] and "%9:b = const.b [value=False]" not in text
    assert "const.b [value=False]" in text


def test_run() -> None:
    timings: dict[str, float] = {}
    graph = parse('graph "g" block a(): %0:i = const.i [value=1] jump a2() block a2(): jump a2()')
    assert run(graph, "dce, jumps", timings, check=True) > 0
    assert set(timings) == {"dce", "jumps"}
    with pytest.raises(ValueError, match="unknown passes"):
        run(graph, "dce,wrong")
    assert set(PASSES) == {"fold", "gvn", "ranges", "hoist", "dce", "jumps", "refcount", "virtuals"}


def test_run_names_the_pass_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(graph: Graph) -> int:
        graph.blocks[0].term = ""
        return 1

    monkeypatch.setitem(PASSES, "dce", breaks)
    graph = parse('graph "g" block a(): jump b() block b(): jump b()')
    with pytest.raises(VerifyError, match="after dce"):
        run(graph, "dce", check=True)


@pytest.mark.parametrize(("name", "made", "found"), [("gvn", 1, "gvn"), ("dce", 0, "dce"), ("fold", 0, "fold")])
def test_what_is_verified(name: str, made: int, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first and the last pass, and after those that say they changed something."""

    def breaks(graph: Graph) -> int:
        graph.blocks[0].term = ""
        return made

    monkeypatch.setitem(PASSES, name, breaks)
    graph = parse('graph "g" block a(): jump b() block b(): jump b()')
    with pytest.raises(VerifyError, match=f"after {found}"):
        run(graph, "fold,gvn,dce", check=True)


def test_deep_graphs() -> None:
    blocks = [f"block b{n}(%{n}:i): jump b{n + 1}(%{n})" for n in range(5000)]
    text = 'graph "g" block a(): %9999:i = const.i [value=1] jump b0(%9999) ' + " ".join(blocks)
    graph = parse(text + " block b5000(%8000:i): jump b5000(%8000)")
    for name in PASSES:
        run(graph, [name])
    verify(graph)


# ---- random programs ------------------------------------------------------------

NUMERIC = [
    i
    for i in OPS.values()
    if i.name.startswith(("int.", "float.", "bool.")) and not i.imm and set(i.operands) <= set("ifb")
]
INTS = [0, 1, -1, 2, 7, -8, 62, 63, 64, 1 << 53, (1 << 63) - 1, -(1 << 63)]
FLOATS = [0.0, -0.0, 1.0, -1.5, 0.5, 1e300, 5e-324, math.inf, -math.inf, math.nan]
TOTAL_ONLY = {"int.shr", "int.range_len", "int.add_fits", "int.sub_fits", "int.mul_fits", "int.div_pos", "int.rem_pos"}
"""Need operands in a range that random programs do not keep to."""


class Maker:
    """A random program over numbers: unboxed inputs, straight lines, diamonds and counted loops."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.graph = Graph("random")
        self.block = self.graph.block("entry")
        self.values: list[Value] = []
        self.offset = 0

    def emit(self, name: str, *args: Value, imm: tuple[object, ...] = ()) -> Value:
        info = OPS[name]
        op = Op(info, list(args), imm, self.state() if info.guard else None)
        self.block.ops.append(op)
        if op.result is None:
            return args[0]
        self.values.append(op.result)
        return op.result

    def state(self) -> State:
        self.offset += 2
        chosen = self.rng.sample(self.values, min(4, len(self.values)))
        slots = [Slot("box" if v.repr != "o" else "new", (v,)) for v in chosen]
        return State("resume", (FrameRec(sample.__code__, None, self.offset, self.offset, {}, slots),), "x")

    def pick(self, repr_: str) -> Value:
        known = [v for v in self.values if v.repr == repr_]
        if not known or self.rng.random() < 0.2:
            value = self.rng.choice({"i": INTS, "f": FLOATS, "b": [True, False]}[repr_])
            return self.emit(f"const.{repr_}", imm=(value,))
        return self.rng.choice(known)

    def step(self) -> None:
        roll = self.rng.random()
        if roll < 0.1:
            self.emit("guard", self.pick("b"), imm=(self.rng.random() < 0.8,))
        elif roll < 0.2:
            slot = self.rng.randrange(len(INPUTS))
            o = self.emit("frame.local", imm=(slot,))
            self.emit(
                self.rng.choice(["obj.unbox_int", "obj.unbox_float"]) if roll < 0.11 else UNBOX[slot % 2], o
            )
        else:
            info = self.rng.choice(NUMERIC)
            if info.name not in TOTAL_ONLY:
                self.emit(info.name, *[self.pick(r) for r in info.operands])

    def straight(self) -> None:
        for _ in range(self.rng.randrange(1, 8)):
            self.step()

    def diamond(self) -> None:
        cond = self.pick("b")
        yes, no, join = (self.graph.block(name) for name in ("yes", "no", "join"))
        self.block.branch(cond, Edge(yes, []), Edge(no, []))
        outer = list(self.values)
        kinds = [self.rng.choice("ifb") for _ in range(self.rng.randrange(3))]
        for side in (yes, no):
            self.values, self.block = list(outer), side
            self.straight()
            self.block.jump(join, [self.pick(k) for k in kinds])
        self.values, self.block = outer + [join.param(k) for k in kinds], join

    def loop(self) -> None:
        zero, one = self.emit("const.i", imm=(0,)), self.emit("const.i", imm=(1,))
        count = self.emit("const.i", imm=(self.rng.randrange(1, 5),))
        kinds = [self.rng.choice("ifb") for _ in range(self.rng.randrange(3))]
        first = [self.pick(k) for k in kinds]
        head, body, out = (self.graph.block(name) for name in ("head", "body", "out"))
        self.block.jump(head, [zero, *first])
        i = head.param("i")
        self.values += [i, *(head.param(k) for k in kinds)]
        self.block = head
        self.straight()
        go = self.emit("int.lt", i, count)
        head.branch(go, Edge(body, []), Edge(out, []))
        outer, self.block = list(self.values), body
        self.straight()
        if self.rng.random() < 0.5:
            self.diamond()
        self.block.jump(head, [self.emit("int.add_fits", i, one), *(self.pick(k) for k in kinds)])
        self.values, self.block = outer, out

    def make(self) -> Graph:
        for _ in range(self.rng.randrange(1, 5)):
            self.rng.choice([self.straight, self.diamond, self.loop])()
        self.block.exit(self.state())
        return self.graph


INPUTS: list[object] = [3, 2.5, -(1 << 62), -0.0, 10**30, math.inf]
UNBOX = ["obj.unbox_int", "obj.unbox_float"]


def fake_frame() -> ctypes.Array[ctypes.c_char]:
    """Memory that looks like a frame with INPUTS as its locals."""
    frame = ctypes.create_string_buffer(LAYOUT.FRAME_LOCALSPLUS + 8 * len(INPUTS))
    address = ctypes.addressof(frame)
    memory.write64(address + LAYOUT.FRAME_CODE, id(sample.__code__))
    for n, value in enumerate(INPUTS):
        memory.write64(address + LAYOUT.FRAME_LOCALSPLUS + 8 * n, id(value))
    return frame


def outcome(graph: Graph) -> tuple[object, ...]:
    frame = fake_frame()
    try:
        state, values = Program(graph).run(Machine(ctypes.addressof(frame), 0, 0), fuel=1000)
    except (ValueError, ArithmeticError) as error:  # an evaluator outside its domain
        return (type(error),)
    at = dict(zip(state.values(), values, strict=True))
    shown = [
        word(at[v], v.repr) if at[v] == at[v] else "nan" for s in state.frames[0].stack for v in s.values
    ]
    return (state.frames[0].offset, shown)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.permutations(sorted(PASSES)))
def test_random_programs(seed: int, order: list[str]) -> None:
    graph = Maker(random.Random(seed)).make()
    verify(graph)
    expected = outcome(graph)
    table = Symbols(f=sample.__code__)
    text = show(graph, table)
    assert outcome(parse(text, table)) == expected
    for name in (*order, "fold", "dce"):
        before = show(graph, table)
        made = run(graph, [name], check=True)
        assert made or show(graph, table) == before, f"{name} changed something and did not say so"
        assert outcome(graph) == expected, f"{name} changed\n{text}\ninto\n{show(graph, table)}"
    again = parse(text, table)
    run(again, "all", check=True)
    assert outcome(again) == expected


def test_parameters_that_loops_pass_to_each_other_are_one_value() -> None:
    text = after(
        "dce",
        """block a(): %0:o = frame.local [slot=0] %9:b = poll branch %9 ? b(%0) : c(%0)
        block b(%1:o): %2:b = poll branch %2 ? c(%1) : d(%1)
        block c(%3:o): %4:b = poll branch %4 ? b(%3) : d(%3)
        block d(%5:o): obj.incref %5 EXIT {0: steal %5} []""",
    )
    assert "block b():" in text and "block d():" in text and "obj.incref %0" in text
    # One that is something else on one way is that from there on.
    text = after(
        "dce",
        """block a(): %0:o = frame.local [slot=0] %8:o = frame.local [slot=1] %9:b = poll branch %9 ? b(%0) : c(%8)
        block b(%1:o): %2:b = poll branch %2 ? c(%1) : d(%1)
        block c(%3:o): %4:b = poll branch %4 ? b(%3) : e(%3)
        block e(%6:o): jump d(%6)
        block d(%5:o): obj.incref %5 EXIT {0: steal %5} []""",
    )
    assert "block b(%" in text and "block c(%" in text and "block d(%" in text and "block e():" in text
