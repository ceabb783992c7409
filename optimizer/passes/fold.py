"""Constant folding and identities, in one sweep over reverse postorder.

Constants are computed by the registry's own evaluators, so folding cannot disagree with execution. Only
operations on numbers are evaluated (their evaluators need no machine); a result that is nan is left to the
hardware, whose nan has a sign. Floats get no identity that is not exact for every bit pattern: x + 0.0 is
not x, x + -0.0 is.

A guard over constants disappears, or ends the block if it never holds. Boxing followed by unboxing is the
value. Unboxing followed by boxing is one more reference to the object, where nothing between could have let go of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable
from typing import Any

from ..ir import Graph, Op, Value
from ..registry import OPS, GuardFailed
from .rewrite import Replacements, leave_always, prune, take_edge

COMPUTABLE = ("int.", "float.", "bool.")
CONSTANTS = frozenset({"const.i", "const.f", "const.b"})
HEAP_TYPE = 1 << 9
NEW_OBJECTS: dict[str, type] = {
    "obj.box_int": int,
    "obj.box_float": float,
    "obj.box_bool": bool,
    "range.new": range,
    "list.new": list,
    "tuple.new": tuple,
}
QUIET = frozenset({"obj.null", "const.o", "obj.box_int", "obj.box_float", "obj.box_bool"})
"""What these give ends without running code, or not at all."""
UNBOXES = {"obj.unbox_int": (int, "i"), "obj.unbox_float": (float, "f"), "obj.unbox_bool": (bool, "b")}
BOXED_BY = {"obj.unbox_int": "obj.box_int", "obj.int_value": "obj.box_int"}
BOXED_BY |= {"obj.unbox_float": "obj.box_float", "obj.float_value": "obj.box_float"}
"""What makes such an object of the number again."""
BOXES = frozenset(BOXED_BY.values())
LETS_GO_OF_NOTHING = frozenset({"alloc"})
NOT_CONSTANT = object()

Answer = Value | Op | bool | None


def fold(graph: Graph) -> int:
    """Returns the number of operations and branches folded."""
    repl = Replacements()
    changes = 0
    for block in graph.reverse_postorder():
        kept: list[Op] = []
        boxes: dict[tuple[str, Value], Value] = {}
        for at, op in enumerate(block.ops):
            op.args[:] = map(repl.get, op.args)
            if boxes and op.name in BOXES and (same := boxes.get((op.name, op.args[0]))) and op.result is not None:
                kept.append(make("obj.incref", same))
                repl.replace(op.result, same)
                changes += 1
                continue
            if op.name in BOXED_BY and op.result is not None:
                boxes[BOXED_BY[op.name], op.result] = op.args[0]
            elif not op.info.writes <= LETS_GO_OF_NOTHING and op.name != "obj.incref":
                boxes.clear()
            answer = simplify(op)
            if answer is None:
                kept.append(op)
                continue
            changes += 1
            if answer is False:
                assert op.state is not None
                leave_always(block, at, op.state)
                break
            if isinstance(answer, Op):
                kept.append(answer)
                answer = answer.result or True
            if isinstance(answer, Value) and op.result is not None:
                repl.replace(op.result, answer)
        block.ops[:] = kept
        repl.end(block)
        if block.term == "branch" and block.cond is not None:
            cond, known = block.cond.producer, constant(block.cond)
            if known is not NOT_CONSTANT:
                take_edge(block, 0 if known else 1)
                changes += 1
            elif isinstance(cond, Op) and cond.name == "bool.not":
                block.cond = cond.args[0]
                block.edges.reverse()
                changes += 1
            elif block.edges[0].block is block.edges[1].block and block.edges[0].args == block.edges[1].args:
                take_edge(block, 0)
                changes += 1
    if changes:
        prune(graph)
        repl.graph(graph)
    return changes


def constant(value: Value) -> Any:
    """The number a value is known to be, or NOT_CONSTANT."""
    op = value.producer
    return op.imm[0] if isinstance(op, Op) and op.name in CONSTANTS else NOT_CONSTANT


def make_constant(repr_: str, value: object) -> Op:
    return Op(OPS[f"const.{repr_}"], [], (value,), None)


def make(name: str, *args: Value) -> Op:
    return Op(OPS[name], list(args), (), None)


def simplify(op: Op) -> Answer:
    """What the operation comes to: a value, an operation to stand in its place, True (a guard that holds,
    nothing is left), False (a guard that never holds), None (no change)."""
    name = op.name
    if name == "guard":
        return guard(op)
    if name.startswith(COMPUTABLE) and op.args and op.result is not None:
        known = [constant(a) for a in op.args]
        if NOT_CONSTANT not in known:
            return evaluate(op, known)
        if op.info.commutes and known[0] is not NOT_CONSTANT:
            op.args.reverse()
    rule = RULES.get(name)
    return rule(op) if rule is not None else None


def evaluate(op: Op, args: list[Any]) -> Answer:
    try:
        value = op.info.evaluate(None, *args, *op.imm)
    except GuardFailed:
        return False
    except (ArithmeticError, ValueError):
        return None
    if value != value:
        return None
    return make_constant(op.info.result, value)


def guard(op: Op) -> Answer:
    known = constant(op.args[0])
    if known is not NOT_CONSTANT:
        return bool(known == op.imm[0])
    while (inner := op.args[0].producer) and isinstance(inner, Op) and inner.name == "bool.not":
        op.args[0] = inner.args[0]
        op.imm = (not op.imm[0],)
    return None


# ---- identities ------------------------------------------------------------


def bits(value: object) -> Hashable:
    """What distinguishes constants: 0.0 from -0.0, and 1 from True and 1.0."""
    return (type(value), struct.pack("d", value)) if type(value) is float else (type(value), value)


def right(op: Op, value: object) -> bool:
    known = constant(op.args[1])
    return known is not NOT_CONSTANT and bits(known) == bits(value)


def same(op: Op) -> bool:
    return op.args[0] is op.args[1]


def neutral(value: object) -> Callable[[Op], Answer]:
    """x op value is x."""
    return lambda op: op.args[0] if right(op, value) else None


def product(op: Op) -> Answer:
    if right(op, 1):
        return op.args[0]
    return op.args[1] if right(op, 0) else None


def difference(op: Op) -> Answer:
    if same(op):
        return make_constant("i", 0)
    return op.args[0] if right(op, 0) else None


def bit_and(op: Op) -> Answer:
    if same(op) or right(op, -1):
        return op.args[0]
    return op.args[1] if right(op, 0) else None


def bit_or(op: Op) -> Answer:
    if same(op) or right(op, 0):
        return op.args[0]
    return op.args[1] if right(op, -1) else None


def bit_xor(op: Op) -> Answer:
    if same(op):
        return make_constant(op.info.result, 0 if op.info.result == "i" else False)
    if op.info.result == "b":
        return op.args[0] if right(op, False) else (make("bool.not", op.args[0]) if right(op, True) else None)
    return op.args[0] if right(op, 0) else None


def modulo(op: Op) -> Answer:
    return make_constant("i", 0) if right(op, 1) else None


def both(op: Op) -> Answer:
    if same(op) or right(op, True):
        return op.args[0]
    return op.args[1] if right(op, False) else None


def either(op: Op) -> Answer:
    if same(op) or right(op, False):
        return op.args[0]
    return op.args[1] if right(op, True) else None


def comparison(reflexive: bool) -> Callable[[Op], Answer]:
    return lambda op: make_constant("b", reflexive) if same(op) else None


def equality(op: Op) -> Answer:
    """Besides x == x: a bool widened to an int and compared with 0 or 1 is the bool, or its negation."""
    wanted = op.name == "int.eq"
    if same(op):
        return make_constant("b", wanted)
    inner = op.args[0].producer
    if isinstance(inner, Op) and inner.name == "int.from_bool" and (right(op, 0) or right(op, 1)):
        return inner.args[0] if right(op, 1) == wanted else make("bool.not", inner.args[0])
    return None


def undo(op: Op) -> Answer:
    """An involution applied twice."""
    inner = op.args[0].producer
    return inner.args[0] if isinstance(inner, Op) and inner.name == op.name else None


def select(op: Op) -> Answer:
    cond = constant(op.args[0])
    if cond is not NOT_CONSTANT:
        return op.args[1] if cond else op.args[2]
    return op.args[1] if op.args[1] is op.args[2] else None


# ---- objects ------------------------------------------------------------


def known_object(value: Value) -> Any:
    op = value.producer
    return op.imm[0] if isinstance(op, Op) and op.name == "const.o" else NOT_CONSTANT


def producer_name(value: Value) -> str:
    return value.producer.name if isinstance(value.producer, Op) else ""


def is_null(op: Op) -> Answer:
    name = producer_name(op.args[0])
    if name == "obj.null":
        return make_constant("b", True)
    return make_constant("b", False) if name == "const.o" or name in NEW_OBJECTS else None


def ends(op: Op) -> Answer:
    """Nothing ends with NULL or with a constant, which the region holds as well; the end of a number runs no code."""
    return make_constant("b", True) if producer_name(op.args[0]) in QUIET else None


def identity(op: Op) -> Answer:
    if same(op):
        return make_constant("b", True)
    left, other = known_object(op.args[0]), known_object(op.args[1])
    if left is not NOT_CONSTANT and other is not NOT_CONSTANT:
        return make_constant("b", left is other)
    return None


def type_is(op: Op) -> Answer:
    """Of new objects; of constants only where the type can never change (a static type, a module's
    excepted)."""
    value = op.args[0]
    made = NEW_OBJECTS.get(producer_name(value))
    if made is not None:
        return make_constant("b", made is op.imm[0])
    obj = known_object(value)
    if obj is not NOT_CONSTANT and fixed_type(type(obj)):
        return make_constant("b", type(obj) is op.imm[0])
    return None


def fixed_type(kind: object) -> bool:
    """Whether an object of that type has it for life and no other object can get it."""
    return isinstance(kind, type) and not kind.__flags__ & HEAP_TYPE and kind.__name__ != "module"


def unbox(op: Op) -> Answer:
    kind, repr_ = UNBOXES[op.name]
    inner = op.args[0].producer
    if not isinstance(inner, Op):
        return None
    made = NEW_OBJECTS.get(inner.name)
    if made is not None:
        return inner.args[0] if made is kind else False
    obj = known_object(op.args[0])
    if obj is NOT_CONSTANT:
        return False if inner.name == "obj.null" else None
    if type(obj) is not kind or isinstance(obj, int) and not -(1 << 63) <= obj < 1 << 63:
        return False
    return make_constant(repr_, obj) if obj == obj else None


def unbox_number(op: Op) -> Answer:
    inner, obj = op.args[0].producer, known_object(op.args[0])
    if isinstance(inner, Op) and inner.name == "obj.box_float":
        return inner.args[0]
    if type(obj) is float and obj == obj or type(obj) is int and abs(obj) <= 1 << 53:
        return make_constant("f", float(obj))
    return None


def tuple_len(op: Op) -> Answer:
    inner = op.args[0].producer
    if isinstance(inner, Op) and inner.name == "tuple.new":
        return make_constant("i", len(inner.args))
    obj = known_object(op.args[0])
    return make_constant("i", len(obj)) if type(obj) is tuple else None


def tuple_get(op: Op) -> Answer:
    inner, index = op.args[0].producer, constant(op.args[1])
    if (
        isinstance(inner, Op)
        and inner.name == "tuple.new"
        and index is not NOT_CONSTANT
        and 0 <= index < len(inner.args)
    ):
        return inner.args[index]
    return None


def str_len(op: Op) -> Answer:
    obj = known_object(op.args[0])
    return make_constant("i", len(obj)) if type(obj) is str else None


RULES: dict[str, Callable[[Op], Answer]] = {
    "int.add_ovf": neutral(0),
    "int.add": neutral(0),
    "int.sub_ovf": difference,
    "int.sub": difference,
    "int.mul_ovf": product,
    "int.mul": product,
    "int.add_fits": neutral(0),
    "int.sub_fits": difference,
    "int.mul_fits": product,
    "int.shl_ovf": neutral(0),
    "int.shr": neutral(0),
    "int.pow_ovf": neutral(1),
    "int.floordiv": neutral(1),
    "int.mod": modulo,
    "int.and": bit_and,
    "int.or": bit_or,
    "int.xor": bit_xor,
    "int.invert": undo,
    "int.lt": comparison(False),
    "int.gt": comparison(False),
    "int.le": comparison(True),
    "int.ge": comparison(True),
    "int.below": comparison(False),
    "int.eq": equality,
    "int.ne": equality,
    "int.select": select,
    "bool.and": both,
    "bool.or": either,
    "bool.xor": bit_xor,
    "bool.not": undo,
    "bool.select": select,
    "float.add": neutral(-0.0),
    "float.sub": neutral(0.0),
    "float.mul": neutral(1.0),
    "float.div": neutral(1.0),
    "float.neg": undo,
    "float.select": select,
    "obj.select": select,
    "obj.is_null": is_null,
    "obj.is": identity,
    "obj.type_is": type_is,
    "obj.drop_is_safe": ends,
    "obj.ends_safely": ends,
    "obj.outlives": ends,
    "obj.unbox_int": unbox,
    "obj.unbox_float": unbox,
    "obj.unbox_number": unbox_number,
    "obj.unbox_bool": unbox,
    "tuple.len": tuple_len,
    "tuple.get": tuple_get,
    "str.len": str_len,
}
