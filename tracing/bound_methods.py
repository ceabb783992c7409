"""Bound methods that are values: had from an object, kept in a variable or passed on, and called later.

A method that is called at once needs no object of its own; the bytecode for that has two values, the function and its first argument.
Where a program asks for the method itself (`append = items.append`, `f(*args)` on a method, a callback) there is an object. Here it is
made natively, and where it is called in sight of its making the call is that of the function with the object, as in the
interpreter: then nobody may want the object any more (`optimizer/passes/virtuals.py`). Of a bound method that came from elsewhere the
function is checked, and the object taken out.

In both cases the block ends before the call, which is done again with the two values in the places of one. That is what the
interpreter makes of its stack too, so there is no state in between. Its reference to the method goes there as well: nothing but a
weak reference to it could notice.
"""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from ..optimizer.ir import Value
from .contexts import Same
from .methods import METHOD_DESCRIPTOR, is_class, is_static, lookup
from .values import AV, HEAP, OWNED, Const, Obj

if TYPE_CHECKING:
    from .translate import Translator

Arrange = Callable[[Const, AV], None]
"""Puts the function and the object where a call expects them, in the places of what is on the stack."""


def push_bound(t: Translator, func: Any, av: AV, kind: type | None) -> None:
    """What is on top of the stack gives way to the bound method of the function (or method of C) and av, which is the same or a class.
    `kind`: av's type, if it is known."""
    top = t.peek()
    t.constants[id(func)] = func
    if av is not top:
        t.drop_check(top)
    made = t.emit("method.new", t.boxed(av), imm=(func,))
    t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
    t.bound_methods[made] = Same(func), Same(av.obj) if isinstance(av, Const) else kind
    t.pop()
    t.drop(top)
    t.push(Obj(made, MethodType if type(func) is FunctionType else BuiltinMethodType, OWNED))


def unbind(t: Translator, at: int, position: int, count: int, arrange: Arrange) -> bool:
    """Whether the callable at that place of the stack is a bound method whose function is known. Then the block ends, and the bytecode
    is done again with what `arrange` makes of it. `position`: of the callable among the operands that were recorded; `count`: how many
    arguments there are."""
    target = t.frame.stack[at]
    assert isinstance(target, Obj) and t.ins is not None
    t.unbound = None
    found = made_here(t, target, count) or made_elsewhere(t, target, position, count)
    if found is None or t.block is None:
        return t.block is None
    func, held = found
    quiet = t.const_b(True)
    if target.owner is OWNED:
        weak = "METHOD_WEAKREFS" if type(func.obj) is FunctionType else "CFUNCTION_WEAKREFS"
        quiet = t.emit("obj.is_null", t.emit("field.o", target.value, imm=(weak,)))

    def replace() -> None:
        bound, own = t.frame.stack[at], held.copy()
        t.own(own)
        arrange(func, own)
        t.drop(bound)
        t.unbound = t.ins

    t.split(quiet, (t.ins.start, True, replace), (t.ins.start, False, lambda: None), again=True)
    return True


def made_here(t: Translator, target: Obj, count: int) -> tuple[Const, AV] | None:
    """The function and the object of a bound method that was made in sight."""
    if target.value not in t.bound_methods:
        return None
    func, of = t.bound_methods[target.value]
    if not is_alike(func.obj, of, count):
        return None
    if isinstance(of, Same):
        return Const(func.obj), Const(of.obj)
    name = "METHOD_SELF" if type(func.obj) is FunctionType else "CFUNCTION_SELF"
    held = Obj(t.emit("field.o", target.value, imm=(name,)), of if of is None or is_static(of) else None, HEAP)
    if of is not None:
        t.ensure_type(held, of)  # any code may have run since then
    return Const(func.obj), held


def made_elsewhere(t: Translator, target: Obj, position: int, count: int) -> tuple[Const, AV] | None:
    """The same of one that was always of one of a few functions, or of one method of C: that is checked. With more than one left
    the block ends in a branch, and the call is done again on both sides."""
    seen = t.observation()
    callees = seen.callees if seen is not None and not seen.megamorphic else []
    kinds = t.expected(position)
    if MethodType in kinds and callees and all(type(one) is FunctionType for one in callees):
        if t.specialise(target, kinds) is not MethodType:  # a call that is done again finds the method taken apart
            return None
        function = t.emit("field.o", target.value, imm=("METHOD_FUNC",))
        return checked_function(t, target, function, callees)
    if kinds != {BuiltinMethodType}:
        return None
    methods = [method_of_c(one) for one in callees if one is not None]
    if not methods or methods[0] is None:
        return None
    method, kind = methods[0]
    if any(one is None or one[0] is not method or one[1] is not kind for one in methods) or not is_alike(method, kind, count):
        return None
    t.constants[id(method)] = method
    t.ensure_type(target, BuiltinMethodType)
    t.guard(t.emit("method.is_of", target.value, imm=(method,)))
    held = Obj(t.emit("field.o", target.value, imm=("CFUNCTION_SELF",)), None, HEAP)
    t.ensure_type(held, kind)
    return Const(method), held


def checked_function(t: Translator, target: Obj, function: Value, callees: list[FunctionType]) -> tuple[Const, AV] | None:
    """The one of those functions that it is. (What is known of a method is kept under the method: its function is read anew.)"""
    left = [one for one in callees if t.checked.get((target.value, Same(one))) is not False]
    if not left:
        return None
    known = target.value, Same(left[0])
    if known not in t.checked:
        check = t.emit("obj.is", function, t.const_o(left[0]))
        if len(left) > 1:
            note(t, check, known)
            return None
        t.guard(check)
    return Const(left[0]), Obj(t.emit("field.o", target.value, imm=("METHOD_SELF",)), None, HEAP)


def note(t: Translator, check: Value, known: tuple[Value, Same]) -> None:
    """End the block with a check, and do the call again on both sides with what is then known."""
    assert t.ins is not None

    def is_it() -> None:
        t.checked[known] = True

    def is_not() -> None:
        t.checked[known] = False

    t.split(check, (t.ins.start, True, is_it), (t.ins.start, True, is_not), again=True)


def is_alike(method: Any, kind: Any, count: int) -> bool:
    """Whether calling a method with the object comes to the same as calling what it is for an object of that type. Of an object of a derived
    class a method of C words the error about too many or too few arguments with the name of that."""
    if type(method) is FunctionType or kind is method.__objclass__:
        return True
    words = (method.__text_signature__ or "*").strip("()").replace("$self", "").replace("/", "").split(",")
    names = [word.strip() for word in words if word.strip()]
    if any(name.startswith("*") for name in names):
        return False
    return len([name for name in names if "=" not in name]) <= count <= len(names)


def method_of_c(func: Any) -> tuple[Any, type] | None:
    """The method that a function of C was had from (or which it is), and the type of its object; None where it is no such method."""
    if type(func) is METHOD_DESCRIPTOR:
        method: Any = func
        return method, method.__objclass__
    if type(func) is not BuiltinMethodType or is_class(func.__self__) or type(func.__self__) is ModuleType:
        return None
    kind = type(func.__self__)
    found = lookup(kind, func.__name__)
    # It may have been had from a base, and the class has another one.
    return (found, kind) if type(found) is METHOD_DESCRIPTOR and found.__get__(func.__self__) == func else None
