"""Calls: Python functions walked into, known built-ins open-coded, everything else through vectorcall."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..abi import instances
from ..optimizer.ir import Slot, State, Value
from . import names
from .bytecode_table import bytecode
from .bytecodes_numbers import as_int, check_atoms, closed_call, known_kind, may_be_atoms
from .code_flags import GENERATORS, VARIADIC
from .decode import Ins, code_info
from .frame_need import CLOSED
from .intrinsics import INTRINSICS, METHODS
from .iteration import make_by_call
from .methods import lookup
from .translate import TYPE_OF, Frame, Leave, function_parts, owned_parts
from .values import AV, FOREVER, HEAP, OWNED, Const, Null, Num, Obj, Tup, local_owner
from .versions import CALL_NULL_FIRST, intrinsic_1

if TYPE_CHECKING:
    from .translate import Translator



@bytecode("KW_NAMES")
def kw_names(t: Translator, ins: Ins) -> None:
    """3.12: the next CALL's keyword names."""
    t.kwnames = t.frame.code.co_consts[ins.arg]


@bytecode("CALL")
def call(t: Translator, ins: Ins) -> None:
    kwnames, t.kwnames = t.kwnames, None
    general_call(t, ins, ins.arg, ins.arg + 2, kwnames)


@bytecode("CALL_KW")
def call_kw(t: Translator, ins: Ins) -> None:
    names = t.peek()
    if not isinstance(names, Const) or type(names.obj) is not tuple:
        raise Leave("unsupported_operand_types", "keyword names")
    general_call(t, ins, ins.arg, ins.arg + 3, names.obj)


def general_call(t: Translator, ins: Ins, nargs: int, npop: int, kwnames: tuple[str, ...] | None) -> None:
    operands = t.frame.stack[len(t.frame.stack) - npop :]
    first, second = operands[0], operands[1]
    args = operands[2 : 2 + nargs]
    if CALL_NULL_FIRST:
        target, own = (second, None) if isinstance(first, Null) else (first, second)
    else:
        target, own = first, None if isinstance(second, Null) else second
    if own is not None:
        args = [own, *args]
    if isinstance(target, Obj):
        target = known_target(t, target, len(t.frame.stack) - npop + operands.index(target), kwnames)
        if t.block is None:
            return
    if isinstance(target, Const) and own is None and make_by_call(t, target.obj, args, operands, kwnames or ()):
        return
    if isinstance(target, Const) and not kwnames:
        intrinsic = INTRINSICS.get(id(target.obj))
        if intrinsic is not None:
            result = intrinsic(t, args)
            if result is not None:
                t.drop_check(*operands)
                del t.frame.stack[len(t.frame.stack) - npop :]
                for av in operands:
                    t.drop(av)
                t.push(result)
                return
        method = METHODS.get(id(target.obj))
        if method is not None and method(t, args, operands):
            return
        if closed_builtin(t, target.obj, args, npop):
            return
        if type(target.obj) is type and make_instance(t, ins, target.obj, args, operands):
            return
        if type(target.obj) is FunctionType:
            if walk_into(t, ins, target.obj, args, operands) or call_directly(t, ins, target.obj, args, operands):
                return
    if isinstance(target, Const) and kwnames and type(target.obj) is FunctionType:
        bound = bind(target.obj, args, kwnames)
        if bound is not None and walk_into(t, ins, target.obj, bound, operands):
            return
    opaque_call(t, target, args, npop, kwnames)


def closed_builtin(t: Translator, target: object, args: list[AV], npop: int) -> bool:
    """A call that needs nothing of this frame (see `frame_need`); False where it is not known to be one."""
    entry = CLOSED.get(id(target))
    if entry is None or entry.target is not target:
        return False
    first = t.expected_operands() - len(args)
    kinds = [known_kind(t, av, t.expected(first + k)) for k, av in enumerate(args)]
    letters = entry.match(kinds)
    if letters is None or not all(letter != "q" or may_be_atoms(t, av) for letter, av in zip(letters, args, strict=True)):
        return False
    for av, letter, kind in zip(args, letters, kinds, strict=True):
        if letter != "x" and kind is not None:
            t.ensure_type(av, kind)
        if letter == "q":
            check_atoms(t, av)
    result = entry.result
    if result is int and t.big(t.expected_results()):
        result = None  # whoever uses it looks at what was seen there
    closed_call(t, "call.closed_vector", [Const(target), *args], npop=npop, result_type=result, imm=())
    return True


def known_target(t: Translator, target: Obj, at: int, kwnames: tuple[str, ...] | None) -> AV:
    """A callable that was always one of a few functions: checked by identity (the region keeps them alive). With more than
    one left the block ends in a branch, and the same call is done again on both sides, with one function less to
    choose from. `at`: the callable's place on the stack."""
    obs = t.observation()
    callees = obs.callees if obs is not None and not obs.megamorphic else []
    if not callees or any(type(one) is not FunctionType for one in callees):
        return target
    checks = [(one, t.emit("obj.is", target.value, t.const_o(one))) for one in callees]
    checks = [(one, check) for one, check in checks if t.checked.get((check, "b")) is not False]
    if not checks or len(checks) > 1 and (kwnames or target.owner is OWNED):
        return target
    func, check = checks[0]
    if len(checks) == 1:
        t.guard(check)
        return target if target.owner is OWNED else Const(func)

    def is_it() -> None:
        t.frame.stack[at] = Const(func)

    t.do_again(check, is_it)
    return target


def opaque_call(t: Translator, target: AV, args: list[AV], npop: int, kwnames: tuple[str, ...] | None) -> None:
    t.begin_opaque()
    if kwnames:
        t.constants[id(kwnames)] = kwnames
    values, temps = t.operand_values([target, *args])
    result = t.emit("call.vector", *values, imm=(kwnames or None,))
    t.finish_call(result, temps, npop)


def builtins_of(func: Any) -> dict[str, Any]:
    """The namespace of built-ins that the function's calls run in."""
    return func.__builtins__  # type: ignore[no-any-return]


def bind(func: FunctionType, args: list[AV], names: tuple[str, ...]) -> list[AV] | None:
    """The arguments of a call with keywords, in the order of the parameters, with defaults where some are left out in between;
    None where that does not come out."""
    code = func.__code__
    params = code.co_varnames[code.co_posonlyargcount : code.co_argcount]
    given: dict[int, AV] = dict(enumerate(args[: len(args) - len(names)]))
    for name, av in zip(names, args[len(args) - len(names) :], strict=True):
        at = params.index(name) + code.co_posonlyargcount if name in params else -1
        if at < 0 or at in given:
            return None
        given[at] = av
    defaults = func.__defaults__ or ()
    first = code.co_argcount - len(defaults)
    for at in range(max(given, default=-1) + 1):
        if at not in given:
            if at < first:
                return None
            given[at] = Const(defaults[at - first])
    return [given[at] for at in range(len(given))]


def make_instance(t: Translator, ins: Ins, kind: type, args: list[AV], operands: list[AV]) -> bool:
    """A class is called: make the instance here and go on in `__init__`. False for classes that are made in other ways."""
    init = lookup(kind, "__init__")
    if not instances.made_by_object(kind) or lookup(kind, "__new__") is not lookup(object, "__new__") or not t.watch_type(kind):
        return False
    plain = init is lookup(object, "__init__") and not args
    if not plain and not (type(init) is FunctionType and may_walk_into(t, ins, init, len(args) + 1, operands[:2])):
        return False
    t.constants[id(kind)] = kind
    made = t.emit("instance.new", imm=(kind,))
    t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
    if plain:
        del t.frame.stack[len(t.frame.stack) - len(operands) :]
        t.push(Obj(made, kind, OWNED))
        return True
    # The caller's stack holds the instance until `__init__` is done.
    go_inside(t, ins, init, [Obj(made, kind, FOREVER), *args], operands)
    t.frames[-2].stack.append(Obj(made, kind, OWNED))
    t.frames[-2].makes = True
    return True


def walk_into(t: Translator, ins: Ins, func: FunctionType, args: list[AV], operands: list[AV]) -> bool:
    """Continue inside the callee; False where it has to be called instead."""
    if not may_walk_into(t, ins, func, len(args), [av for av in operands[:2] if av not in args]):
        return False
    go_inside(t, ins, func, args, operands)
    return True


def may_walk_into(t: Translator, ins: Ins, func: FunctionType, given: int, callable_parts: list[AV]) -> bool:
    code = func.__code__
    if code.co_flags & (VARIADIC | GENERATORS) or code.co_kwonlyargcount or code.co_cellvars:
        return False
    missing = code.co_argcount - given
    if missing < 0 or missing > len(func.__defaults__ or ()):
        return False
    if len(t.frames) > t.limits.inline_depth or any(f.code is code for f in t.frames):
        return False
    info = code_info(code)
    if len(info.instructions) > t.limits.inline_ops or t.profiles.is_excluded(code) or t.memory.heavy(code):
        return False
    caller = t.frame
    caller.call = ins
    refused = t.path() in t.memory.no_inline
    caller.call = None
    return not refused and not any(owned_parts(av) for av in callable_parts)


def go_inside(t: Translator, ins: Ins, func: FunctionType, args: list[AV], operands: list[AV]) -> None:
    """Put a frame for the callee on top; the operands of its call go from the caller's stack."""
    code, caller = func.__code__, t.frame
    info = code_info(code)
    caller.call = ins
    missing = code.co_argcount - len(args)
    defaults = func.__defaults__ or ()
    t.watch("function", func, "", function_parts(func))
    t.constants[id(func)] = func
    t.codes.add(code)
    del caller.stack[len(caller.stack) - len(operands) :]
    frame = Frame(info, func, func.__globals__, builtins_of(func), info.nlocalsplus)
    given: list[AV] = [*args, *(Const(d) for d in defaults[len(defaults) - missing :])] if missing else list(args)
    for k, av in enumerate(given):
        av.dirty = False
        frame.locals[k] = av
    for k, cell in enumerate(func.__closure__ or ()):
        frame.locals[info.nlocalsplus - len(code.co_freevars) + k] = Const(cell)
    t.frames.append(frame)
    t.pc = info.first_offset


def call_directly(t: Translator, ins: Ins, func: FunctionType, args: list[AV], operands: list[AV]) -> bool:
    """Call native code of the function, which has no frame as long as it does not leave; False where there is none that
    takes these arguments. References are lent: whatever holds them must go on doing so until the callee is done, or has a
    frame of its own."""
    own = t.own_target
    target = own if own is not None and own.func is func else t.memory.direct(func)
    if target is None:
        return False
    given: list[AV] = [*args]
    missing = len(target.kinds) - len(given)
    defaults = func.__defaults__ or ()
    if missing < 0 or missing > len(defaults):
        return False
    given += [Const(d) for d in defaults[len(defaults) - missing :]] if missing else []
    if any(owned_parts(av) for av in operands[:2] if av not in args):
        return False
    for av, kind in zip(given, target.kinds, strict=True):
        known = t.type_of(av)
        if known is None and isinstance(av, Obj):
            t.ensure_type(av, kind)
        elif known is not kind:
            return False
    values: list[Value] = []
    spent: list[AV] = []
    for av, repr_ in zip(given, target.signature.params, strict=True):
        if repr_ == "o":
            if not (isinstance(av, Const) or isinstance(av, Obj) and av.owner.kind in ("local", "forever")):
                return False
            values.append(t.boxed(av))
        else:
            n = t.number(av)
            if n is None:
                return False  # an int beyond 64 bits
            values.append(n.value)
            spent.append(av)
    t.emit("direct.ready", imm=("self" if target is own else target,))
    t.drop_check(*spent)
    t.watch("function", func, "", function_parts(func))
    t.constants[id(func)] = func
    t.promote_heap()
    for av in spent:
        t.drop(av)
    del t.frame.stack[len(t.frame.stack) - len(operands) :]
    names.sync(t)
    t.frame.call = ins
    state = t.suspended_state()
    t.frame.call = None
    result = t.emit(f"direct.call_{target.signature.result}", *values, imm=("self" if target is own else target,), state=state)
    if target is own:
        t.recursive = True
    else:
        t.targets.append(target)
    t.push(Num(result) if target.signature.result != "o" else Obj(result, None, OWNED))
    return True


def return_directly(t: Translator, result: AV, on_stack: bool) -> None:
    """The end of a function without a frame: what its locals own goes, the result is handed over as the signature says
    (anything else as an object, by the way of those that leave)."""
    wanted = t.graph.signature.result if t.graph.signature is not None else "o"
    number = t.number(result, {TYPE_OF[wanted]}) if wanted != "o" else None
    t.drop_check(*t.frame.locals)
    if number is not None:
        t.drop_check(result)
    t.promote(lambda o: o.owner.kind == "local")
    if number is not None:
        slot = t.slot(Num(number.value))
        t.drop(result)
    else:
        t.reject_hidden(result)
        slot = Slot("steal", (t.owned_value(result),))
    for av in t.frame.locals:
        t.drop(av)
    t.current.exit(State("return", (), "return", slot))
    t.block = None


@bytecode("CALL_INTRINSIC_1")
def call_intrinsic_1(t: Translator, ins: Ins) -> None:
    what = intrinsic_1(ins)
    av = t.peek()
    if what == "INTRINSIC_UNARY_POSITIVE":
        number = t.number(av, t.expected(0))
        if number is None:
            t.opaque("PyNumber_Positive", [av], npop=1)
            return
        t.drop_check(av)
        t.pop()
        t.drop(av)
        t.push(Num(as_int(t, number)) if number.repr == "b" else number.copy())
    elif what == "INTRINSIC_LIST_TO_TUPLE" and isinstance(av, Obj) and t.type_of(av) is list and av.owner is OWNED:
        made = t.emit("call.closed", av.value, imm=("PyList_AsTuple", ()))
        t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
        t.pop()
        t.emit("obj.drop", av.value)  # the tuple holds the items as well
        t.push(Obj(made, tuple, OWNED))
    else:
        raise Leave("unsupported_bytecode", what)


@bytecode("RETURN_VALUE")
def return_value(t: Translator, ins: Ins) -> None:
    finish(t, t.peek(), on_stack=True)


@bytecode("RETURN_CONST")
def return_const(t: Translator, ins: Ins) -> None:
    finish(t, Const(t.frame.code.co_consts[ins.arg]), on_stack=False)


def finish(t: Translator, result: AV, on_stack: bool) -> None:
    """A callee's end: its locals go, the caller goes on behind its call. The door's own frame is left to the
    interpreter."""
    if len(t.frames) == 1 and t.real < 0:
        return_directly(t, result, on_stack)
        return
    if len(t.frames) == 1:
        if not t.entry.function_door:
            raise Leave("return")
        slot = t.result_slot(result)
        t.current.exit(State("return", (), "return", slot))
        t.block = None
        return
    frame = t.frame
    depth = len(t.frames) - 1
    if t.frames[-2].makes and not (isinstance(result, Const) and result.obj is None):
        if t.type_of(result) not in (None, type(None)) or not isinstance(result, Obj):
            raise Leave("always_fails", "__init__() should return None")
        t.guard(t.emit("obj.is", result.value, t.const_o(None)))
    unsafe = any(o.type not in safe_types() for av in frame.locals for o in owned_parts(av))
    t.promote_owned_by(depth)
    own_result(t, result, depth, unsafe)
    drop_locals(t)
    if on_stack:
        t.pop()
    t.frames.pop()
    caller = t.frame
    assert caller.call is not None
    t.pc = caller.call.next
    caller.call = None
    if caller.makes:
        caller.makes = False  # the instance is on the stack
    else:
        t.push(result)


def drop_locals(t: Translator) -> None:
    """The innermost frame's locals go, one after the other. Where the end of one would run code, the interpreter goes on: those
    before it are unbound by then, which nobody can see any more."""
    frame = t.frame
    assert t.ins is not None
    for k, av in enumerate(frame.locals):
        for obj in owned_parts(av):
            if obj.type not in safe_types():
                state = t.frame_state(t.ins.start, reason="guard")
                t.guard(t.emit("obj.drop_is_safe", obj.value), state=state)
        frame.locals[k] = Null()
        t.drop(av)


def own_result(t: Translator, result: AV, depth: int, heap: bool) -> None:
    """A returned reference (or a part of a returned display) outlives what it was borrowed from: the callee's locals, and
    with `heap` what they hold."""
    if isinstance(result, Tup):
        for item in result.items:
            own_result(t, item, depth, heap)
    elif isinstance(result, Obj) and (heap and result.owner is HEAP or result.owner == local_owner(depth, result.owner.slot)):
        t.own(result)


def safe_types() -> frozenset[type]:
    from .translate import SAFE_TO_DROP

    return SAFE_TO_DROP
