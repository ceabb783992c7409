"""Calls: Python functions walked into, known built-ins open-coded, everything else through vectorcall."""

from __future__ import annotations

from functools import partial
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from ..abi import instances
from ..abi.operands import top_first
from ..optimizer.answers import ANSWERS, ASSIGNS, MOST_CALLED, NEXT, NONE, OPERANDS, OPERATOR, Answer
from ..optimizer.ir import Slot, State
from . import (
    intrinsics_classes,  # noqa: F401  (fills the table)
    intrinsics_text,  # noqa: F401
    )
from .binding import Bound, Named, bind, make_real
from .bound_methods import unbind
from .bytecode_table import bytecode
from .bytecodes_numbers import as_int, check_atoms, closed_call, known_kind, may_be_atoms
from .code_flags import GENERATORS
from .consumers import consume, used_up
from .decode import Ins, code_info
from .direct_calls import call_by_name, call_directly, call_one_of, check_lent, direct_target, is_large, safe_types, takes_positions
from .exceptions import raise_by_call
from .frame_need import closed_entry
from .intrinsics import INTRINSICS, METHODS, Method
from .iteration import make_by_call
from .methods import ABSENT, METHOD_DESCRIPTOR, is_class, is_static, lookup
from .special_methods import plain
from .translate import TYPE_OF, Frame, Leave, function_parts
from .values import AV, FOREVER, HEAP, OWNED, Const, Null, Num, Obj, Owner, Tup, lent_owner, local_owner, owned_parts
from .versions import CALL_NULL_FIRST, NAMES_ALWAYS, intrinsic_1
from .views import as_receiver, is_derived

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
    from .generators import expression

    operands = t.frame.stack[len(t.frame.stack) - npop :]
    first, second = operands[0], operands[1]
    args = operands[2 : 2 + nargs]
    if CALL_NULL_FIRST:
        target, own = (second, None) if isinstance(first, Null) else (first, second)
    else:
        target, own = first, None if isinstance(second, Null) else second
    if own is not None:
        args = [own, *args]
    if isinstance(target, Obj) and target.value in t.made and own is not None and not nargs:
        if consume(t, ins, target, own) or expression(t, ins, target, own):
            return
    if isinstance(target, Obj):
        position = operands.index(target)
        at = len(t.frame.stack) - npop
        count, again = -1 if kwnames else nargs, partial(arrange_call, t, at)
        if own is None and not (kwnames and ins.op == "CALL") and unbind(t, at + position, position, count, again):
            return
        target = known_target(t, target, at + position, kwnames)
        if t.block is None:
            return
    called = target, args
    if own is None and not kwnames and isinstance(target, Obj | Const) and call_instance(t, ins, target, args, operands):
        return
    if isinstance(target, Const) and own is None and type(target.obj) in (MethodType, BuiltinMethodType):
        target, args = unbound(target, args)
    if isinstance(target, Const) and own is None and make_by_call(t, target.obj, args, operands, kwnames or ()):
        return
    if isinstance(target, Const) and not kwnames:
        intrinsic = INTRINSICS.get(id(target.obj))
        if intrinsic is not None:
            result = intrinsic(t, args)
            if result is not None:
                t.drop_check(*operands)
                if isinstance(result, Obj) and result.owner is HEAP:
                    t.own(result)  # what it was borrowed from may go now
                del t.frame.stack[len(t.frame.stack) - npop :]
                for av in operands:
                    t.drop(av)
                t.push(result)
                return
        method = METHODS.get(id(target.obj))
        if method is not None and call_method(t, method, target.obj, args, operands):
            return
        if closed_builtin(t, target.obj, args, npop):
            return
        if make_empty(t, target.obj, args, npop):
            return
        if is_class(target.obj) and raise_by_call(t, ins, target.obj):
            return
        if type(target.obj) is FunctionType and takes_positions(target.obj):
            native = direct_target(t, target.obj, args)
            large = native is not None and is_large(t, native)
            if native is not None and large and call_directly(t, ins, native, args, operands):
                return
            if walk_into(t, ins, target.obj, args, operands):
                return
            if native is not None and not large and call_directly(t, ins, native, args, operands):
                return
            opaque_call(t, *called, npop, kwnames)
            return
    if isinstance(target, Obj) and not kwnames and ins.op == "CALL" and call_one_of(t, ins, target, at + position, args, operands):
        return
    if isinstance(target, Const) and walk_into_any(t, ins, target.obj, args, operands, kwnames or ()):
        return
    if isinstance(target, Const) and kwnames and call_by_name(t, ins, target.obj, args, operands, kwnames):
        return
    opaque_call(t, *called, npop, kwnames)


def call_method(t: Translator, method: Method, target: Any, args: list[AV], operands: list[AV]) -> bool:
    """Do the call of a method that is open-coded. Its object may be of a class derived from list: then the stack, too, has it as a list
    meanwhile, and what is borrowed there is looked after as usual."""
    given = as_receiver(t, target, args)
    if given is args:
        return method(t, args, operands)
    stack, view = t.frame.stack, given[0]
    place = next(k for k, av in enumerate(stack) if av is args[0])
    stack[place] = view
    if method(t, given, operands):
        return True
    stack[place] = args[0]
    return False


def call_instance(t: Translator, ins: Ins, target: Obj | Const, args: list[AV], operands: list[AV]) -> bool:
    """An instance of a class written in Python is called: go on in its `__call__`. False for other callables, and where it is to be
    called."""
    kinds: set[Any] = {type(target.obj)} if isinstance(target, Const) else t.expected(operands.index(target))
    if len(operands) > MOST_CALLED or not kinds or not all(isinstance(kind, type) and called_in_python(kind) for kind in kinds):
        return False
    obj = Obj(t.const_o(target.obj), None, FOREVER) if isinstance(target, Const) else target
    kind = t.specialise(obj, kinds)
    if kind is None or not plain(t, kind):
        return False
    func, given = lookup(kind, "__call__"), [obj, *args]
    native = direct_target(t, func, given) if takes_positions(func) else None
    large = native is not None and is_large(t, native)
    if native is not None and large and call_directly(t, ins, native, given, operands):
        return True
    if walk_into_special(t, ins, func, given, f"call{len(operands)}"):
        return True
    return native is not None and not large and call_directly(t, ins, native, given, operands)


def called_in_python(kind: type) -> bool:
    """Whether instances of the class are called by a function of it."""
    return not is_static(kind) and type(lookup(kind, "__call__")) is FunctionType


def arrange_call(t: Translator, at: int, func: AV, own: AV) -> None:
    """Put a function and its first argument, the object of its bound method, where they belong."""
    t.frame.stack[at : at + 2] = [func, own]


def arrange_star_call(t: Translator, place: int, func: AV, own: AV) -> None:
    """The same before a tuple of arguments that exists only as its items."""
    args = t.frame.stack[place + 2 - CALL_NULL_FIRST]
    items = args.items if isinstance(args, Tup) else [Const(item) for item in args.obj]  # type: ignore[attr-defined]
    t.frame.stack[place] = func
    t.frame.stack[place + 2 - CALL_NULL_FIRST] = Tup([own, *items])


def walk_into_any(t: Translator, ins: Ins, target: object, args: list[AV], operands: list[AV], names: tuple[str, ...]) -> bool:
    """Go on in a function, or in the `__init__` of a class. False for other callables, and where it is to be called."""
    if type(target) is FunctionType:
        return walk_into(t, ins, target, args, operands, names)
    return type(target) is type and make_instance(t, ins, target, args, operands, names)


@bytecode("CALL_FUNCTION_EX")
def call_function_ex(t: Translator, ins: Ins) -> None:
    """callable(*args, **names), with a tuple and a dict as the compiler makes them from displays. With a tuple that exists only as its
    items, and no names, it is a call like others."""
    count = 4 if NAMES_ALWAYS or ins.arg & 1 else 3
    entries = t.frame.stack[len(t.frame.stack) - count :]
    place = 1 if CALL_NULL_FIRST else 0
    target, args = entries[place], entries[2]
    names_ = entries[3] if count == 4 else Null()
    items: list[AV] | None = args.items if isinstance(args, Tup) else None
    if isinstance(args, Const) and type(args.obj) is tuple:
        items = [Const(item) for item in args.obj]
    if isinstance(names_, Null) and items is not None:
        at = len(t.frame.stack) - count + place
        if isinstance(target, Obj) and unbind(t, at, place, len(items), partial(arrange_star_call, t, at)):
            return
        if isinstance(target, Obj) and t.expected(place) == {FunctionType}:
            target = known_target(t, target, at, None)
            if t.block is None:
                return
        if isinstance(target, Const) and walk_into_any(t, ins, target.obj, items, entries, ()):
            return
    if known_kind(t, args, t.expected(2)) is not tuple:
        raise Leave("unsupported_call", "star arguments")
    if not isinstance(names_, Null) and known_kind(t, names_, t.expected(3)) is not dict:
        raise Leave("unsupported_call", "arguments by name")
    t.ensure_type(args, tuple)
    if not isinstance(names_, Null):
        t.ensure_type(names_, dict)
    t.opaque("PyObject_Call", [target, args, names_], npop=count)


def unbound(target: Const, args: list[AV]) -> tuple[Const, list[AV]]:
    """What a call of a known bound method comes to: its function, with the object as first argument."""
    method: Any = target.obj
    func = method.__func__ if type(method) is MethodType else ABSENT
    if func is ABSENT and not isinstance(method.__self__, type | ModuleType):
        func = lookup(type(method.__self__), method.__name__)
        if type(func) is not METHOD_DESCRIPTOR or func.__get__(method.__self__) != method:
            func = ABSENT  # it was had from a base, and the class has another one
    return (target, args) if func is ABSENT else (Const(func), [Const(method.__self__), *args])


def closed_builtin(t: Translator, target: object, args: list[AV], npop: int) -> bool:
    """A call that needs nothing of this frame (see `frame_need`); False where it is not known to be one."""
    entry = closed_entry(target)
    if entry is None:
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
    choose from. So it does where the stack owns the callable, whose reference is then given back first: the region's is enough.
    `at`: the callable's place on the stack."""
    obs = t.observation()
    callees = obs.callees if obs is not None and not obs.megamorphic else []
    if not callees or any(type(one) is not FunctionType for one in callees):
        return target
    checks = [(one, t.emit("obj.is", target.value, t.const_o(one))) for one in callees]
    checks = [(one, check) for one, check in checks if t.checked.get((check, "b")) is not False]
    if not checks or kwnames and (len(checks) > 1 or target.owner is OWNED):
        return target
    func, check = checks[0]
    if len(checks) == 1 and target.owner is not OWNED:
        t.guard(check)
        t.frame.stack[at] = Const(func)
        return t.frame.stack[at]

    def is_it() -> None:
        held = t.frame.stack[at]
        t.frame.stack[at] = Const(func)
        t.drop(held)

    if len(checks) > 1:
        t.do_again(check, is_it)
    else:
        assert t.ins is not None
        t.split(check, (t.ins.start, True, is_it), (t.ins.start, False, lambda: None), again=True)
    return target


FRAME_COST = 16
"""What a call of a function of the program's that is run by the interpreter costs more than another call out: there it is no call at all."""


def opaque_call(t: Translator, target: AV, args: list[AV], npop: int, kwnames: tuple[str, ...] | None) -> None:
    if may_give_up(t, target):
        check_lent(t, args)
    assert t.ins is not None
    place = next((k for k, av in enumerate(t.frame.stack[len(t.frame.stack) - npop :]) if av is target), -1)
    kinds = {type(target.obj)} if isinstance(target, Const) else t.expected(place)
    t.begin_opaque(cost=FRAME_COST if FunctionType in kinds or MethodType in kinds else 0)
    if kwnames:
        t.constants[id(kwnames)] = kwnames
    values, temps = t.operand_values([target, *args])
    result = t.emit("call.vector", *values, imm=(kwnames or None,))
    t.finish_call(result, temps, npop)


def may_give_up(t: Translator, target: AV) -> bool:
    """Whether the callee may be a function that lets go of its parameters before it returns."""
    if isinstance(target, Const):
        callees = [target.obj]
    else:
        obs = t.observation()
        callees = obs.callees if obs is not None and not obs.megamorphic else [None]
    for one in callees:
        func = lookup(one, "__init__") if is_class(one) else one
        if func is None or type(func) is MethodType or type(func) is FunctionType and code_info(func.__code__).gives_up_parameters:
            return True
    return False


def make_empty(t: Translator, kind: object, args: list[AV], npop: int) -> bool:
    """A class derived from list is called without arguments, and makes its instances as list does."""
    if args or type(kind) is not type or not is_derived(kind) or not t.watch_type(kind):
        return False
    if any(lookup(kind, name) is not lookup(list, name) for name in ("__new__", "__init__")):
        return False
    closed_call(t, "call.closed_vector", [Const(kind)], npop=npop, result_type=kind, imm=())
    return True


def builtins_of(func: Any) -> dict[str, Any]:
    """The namespace of built-ins that the function's calls run in."""
    return func.__builtins__  # type: ignore[no-any-return]


def make_instance(t: Translator, ins: Ins, kind: type, args: list[AV], operands: list[AV], names: tuple[str, ...]) -> bool:
    """A class is called: make the instance here and go on in `__init__`. False for classes that are made in other ways."""
    init = lookup(kind, "__init__")
    if not instances.made_by_object(kind) or lookup(kind, "__new__") is not lookup(object, "__new__") or not t.watch_type(kind):
        return False
    plain = init is lookup(object, "__init__") and not args
    bound: Bound = []
    if not plain:
        found = bind(t, init, [Null(), *args], names) if type(init) is FunctionType else None
        if found is None or not may_walk_into(t, ins, init, operands[:2]) or any(isinstance(av, Named) for av in found):
            return False
        bound = found
    t.constants[id(kind)] = kind
    made = t.emit("instance.new", imm=(kind,))
    t.emit("guard", t.emit("obj.is_null", made), imm=(False,), state=t.retry_state())
    if plain:
        del t.frame.stack[len(t.frame.stack) - len(operands) :]
        t.push(Obj(made, kind, OWNED))
        return True
    # The caller's stack holds the instance until `__init__` is done.
    go_inside(t, ins, init, [Obj(made, kind, FOREVER), *make_real(t, bound[1:])], operands)
    t.frames[-2].stack.append(Obj(made, kind, OWNED))
    t.frames[-2].answer = "none"
    return True


def walk_into_special(t: Translator, ins: Ins, func: FunctionType, args: list[AV], answer: str) -> bool:
    """Continue inside a special method that the bytecode calls; its operands stay on the stack, as in the interpreter, until it
    returns, and lend it their references. False where the generic operation has to do it."""
    lender = lent_owner(len(t.frames) - 1)
    if not all(may_be_lent(av) for av in args):
        return False
    bound = bind(t, func, [lent(av, lender) for av in args])
    if bound is None or not may_walk_into(t, ins, func, []):
        return False
    go_inside(t, ins, func, make_real(t, bound), [])
    t.frames[-2].answer = answer
    return True


def may_be_lent(av: AV) -> bool:
    """Whether a value may have two names."""
    return all(map(may_be_lent, av.items)) if isinstance(av, Tup) else isinstance(av, Num | Const | Obj)


def lent(av: AV, lender: Owner) -> AV:
    """What a callee is given of an operand that stays where it is."""
    if isinstance(av, Tup):
        return Tup([lent(item, lender) for item in av.items])
    return Obj(av.value, av.type, lender) if isinstance(av, Obj) and av.owner is OWNED else av.copy()


def walk_into(
    t: Translator, ins: Ins, func: FunctionType, args: list[AV], operands: list[AV], names: tuple[str, ...] = ()
) -> bool:
    """Continue inside the callee; False where it has to be called instead."""
    from .generators import make_generator, may_be_virtual

    callable_parts = [av for av in operands[:2] if av not in args]
    yields = may_be_virtual(t, ins, func.__code__)
    if not (has_room_for(t, ins, func.__code__, callable_parts) if yields else may_walk_into(t, ins, func, callable_parts)):
        return False
    bound = bind(t, func, args, names)
    if bound is None:
        return False
    (make_generator if yields else go_inside)(t, ins, func, make_real(t, bound), operands)
    return True


def may_walk_into(t: Translator, ins: Ins, func: FunctionType, callable_parts: list[AV]) -> bool:
    """Whether a call of the function may be walked into. `callable_parts`: what the call lets go of before the function begins."""
    code = func.__code__
    if code.co_flags & GENERATORS or t.memory.heavy(code):
        return False
    return has_room_for(t, ins, func.__code__, callable_parts)


def has_room_for(t: Translator, ins: Ins, code: CodeType, callable_parts: list[AV]) -> bool:
    """Whether the function, or generator, can have a frame of the walk."""
    if len(t.frames) > t.limits.inline_depth or any(f.code is code for f in t.frames):
        return False
    info = code_info(code)
    if len(info.instructions) > t.limits.inline_ops or t.profiles.is_excluded(code) or code in t.memory.call_out:
        return False
    caller = t.frame
    caller.call = ins
    refused = t.path() in t.memory.no_inline
    caller.call = None
    return not refused and not any(owned_parts(av) for av in callable_parts)


def go_inside(t: Translator, ins: Ins, func: FunctionType, args: list[AV], operands: list[AV]) -> None:
    """Put a frame for the callee on top, of whose parameters each has its value; the operands of its call go from the caller's
    stack."""
    code, caller = func.__code__, t.frame
    info = code_info(code)
    caller.call = ins
    t.watch("function", func, "", function_parts(func))
    t.constants[id(func)] = func
    t.codes.add(code)
    del caller.stack[len(caller.stack) - len(operands) :]
    frame = Frame(info, func, func.__globals__, builtins_of(func), info.nlocalsplus)
    for k, av in enumerate(args):
        av.dirty = False
        frame.locals[k] = av
    for k, cell in zip(info.free, func.__closure__ or ()):
        frame.locals[k] = Const(cell)
    t.frames.append(frame)
    t.pc = info.call_offset


def return_directly(t: Translator, result: AV, on_stack: bool) -> None:
    """The end of a function without a frame: what its locals own goes, the result is handed over as the signature says
    (anything else as an object, by the way of those that leave)."""
    wanted = t.graph.signature.result if t.graph.signature is not None else "o"
    number = t.number(result, {TYPE_OF[wanted]}) if wanted != "o" else None
    if number is not None:
        t.drop_check(result)
    unsafe = any(o.type not in safe_types() for av in t.frame.locals for o in owned_parts(av))
    t.promote_owned_by(0)
    own_result(t, result, 0, unsafe)
    drop_locals(t)
    if number is not None:
        slot = t.slot(Num(number.value))
        t.drop(result)
    else:
        t.reject_hidden(result)
        slot = Slot("steal", (t.owned_value(result),))
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
    from .generators import end_generator

    if t.frame.consumer is not None:
        used_up(t)
        return
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
    if t.frames[-2].answer == "iterates":
        end_generator(t, result, on_stack)
        return
    answer = ANSWERS[t.frames[-2].answer]
    truth = as_answer(t, answer, result)
    unsafe = any(o.type not in safe_types() for av in frame.locals for o in owned_parts(av))
    t.promote_owned_by(depth)
    own_result(t, result, depth, unsafe)
    drop_locals(t)
    drop_operands(t, answer)
    if on_stack:
        t.pop()
    t.frames.pop()
    caller = t.frame
    assert caller.call is not None
    t.pc = caller.call.next
    caller.call = None
    caller.answer = "value"
    if answer.what >= OPERANDS:
        del caller.stack[len(caller.stack) - answer.operands :]
    if answer.what == ASSIGNS:
        t.drop(result)
    elif truth is not None:
        t.drop(result)
        t.push(truth)
    elif answer.what != NONE:
        t.push(result)


def as_answer(t: Translator, answer: Answer, result: AV) -> Num | None:
    """Make sure that the result is of the usual kind: not NotImplemented, a bool, None. What is unusual is left to the
    interpreter, which returns it. Returns the truth value where one is wanted."""
    if answer.what == NONE and not (isinstance(result, Const) and result.obj is None):
        if t.type_of(result) not in (None, type(None)) or not isinstance(result, Obj):
            raise Leave("always_fails", "__init__() should return None")
        t.guard(t.emit("obj.is", result.value, t.const_o(None)))
    if answer.truth:
        truth = t.number(result, t.expected(0))
        if truth is None or truth.repr != "b":
            raise Leave("unsupported_operand_types", "a comparison without a truth value")
        t.drop_check(result)
        return Num(truth.value)
    if answer.what >= OPERATOR:
        if isinstance(result, Const) and result.obj is NotImplemented:
            raise Leave("unsupported_operand_types", "NotImplemented")
        if isinstance(result, Obj) and t.type_of(result) in (None, type(NotImplemented)):
            t.guard(t.emit("obj.is", result.value, t.const_o(NotImplemented)), False)
    if answer.what == ASSIGNS:
        t.drop_check(result)
    return None


def drop_operands(t: Translator, answer: Answer) -> None:
    """The operands on the caller's stack go, of which the callee was lent what it was given. They are checked one by one, as
    the locals are."""
    depth = len(t.frames) - 2
    if answer.what >= NEXT:
        t.promote(lambda o: o.owner == lent_owner(depth))
    if answer.what < OPERANDS:
        return
    stack = t.frames[-2].stack
    places = range(len(stack) - answer.operands, len(stack))
    for k in reversed(places) if answer.top_first else places:
        end_now(t, stack, k)


def drop_locals(t: Translator) -> None:
    """The innermost frame's locals go, one after the other. Where the end of one would run code, the interpreter goes on: those
    before it are unbound by then, which nobody can see any more."""
    places = range(len(t.frame.locals))
    for k in reversed(places) if top_first("locals") else places:
        end_now(t, t.frame.locals, k)


def end_now(t: Translator, slots: list[AV], k: int) -> None:
    """What the slot holds goes, before anything else does. Leaves before the bytecode where its end would run code."""
    assert t.ins is not None
    av = slots[k]
    for obj in owned_parts(av):
        if obj.type not in safe_types():
            state = t.frame_state(t.ins.start, reason="guard")
            t.end_check(obj, state)
    slots[k] = Null()
    t.drop(av)


def own_result(t: Translator, result: AV, depth: int, heap: bool) -> None:
    """A returned reference (or a part of a returned display) outlives what it was borrowed from: the callee's locals, and
    with `heap` what they hold."""
    if isinstance(result, Tup):
        for item in result.items:
            own_result(t, item, depth, heap)
    elif isinstance(result, Obj) and (heap and result.owner is HEAP or result.owner == local_owner(depth, result.owner.slot)):
        t.own(result)


