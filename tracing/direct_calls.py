"""Direct calls: of functions that have native code of their own and no frame.

Which function it is may be known when compiling, or be one of a few: then each gets a path of its own. Where many were seen (a table of
handlers, the methods of many classes) the function that is called is looked for among them (`direct.choose`), and its code, which takes and
gives references, is called from one place.
"""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from ..abi.operands import top_first
from ..optimizer.answers import MOST_TEMPS
from ..optimizer.ir import Signature, Value
from . import names
from .bytecodes_numbers import known_kind
from .code_flags import GENERATORS, VARIADIC
from .contexts import Same
from .decode import Ins, code_info
from .targets import ANY, Choice, DirectTarget
from .translate import REPR_OF, Leave, function_parts
from .values import AV, FOREVER, HEAP, OWNED, Const, Num, Obj, Tup, local_owner, owned_parts

if TYPE_CHECKING:
    from .translate import Translator

LARGE = 100
"""Bytecodes, those of what is walked into counted, beyond which it does not matter that there is a call."""
LENDERS = ("local", "lent", "forever")
"""Owners of references that stay where they are while a direct function runs."""


def direct_target(t: Translator, func: FunctionType, args: list[AV], seen: list[set[Any]] | None = None) -> DirectTarget | None:
    """The native code of a function that takes these arguments; that of a large one, or of one that calls itself, is made now, if there
    is none yet. None where there is none. `seen`: what kinds of arguments were recorded, where they are not in the order of the stack."""
    own = t.own_target
    kinds = argument_kinds(t, func, args, seen)
    if own is not None and own.func is func and own.takes(kinds):
        return own
    target = t.memory.direct(func, kinds)
    key = (Same(func), kinds)
    if target is not None or kinds is None or key in t.memory.in_vain:
        return target
    if not any(f.code is func.__code__ for f in t.frames) and weight(t, func.__code__, set()) <= LARGE:
        return None
    target = t.memory.make_direct(func, kinds)
    if target is None:
        t.memory.in_vain.add(key)
    return target


def is_large(t: Translator, target: DirectTarget) -> bool:
    """Whether a function is to be called rather than copied."""
    return target is t.own_target or target.making or target.size > LARGE or t.count > t.limits.ops // 8


def argument_kinds(t: Translator, func: FunctionType, args: list[AV], seen: list[set[Any]] | None) -> tuple[type, ...] | None:
    """The types of a call's arguments, those of defaults included: known, or seen (ANY where several were). None where some are not
    known, or it is no call that comes out."""
    seen = seen if seen is not None else seen_kinds(t, args)
    kinds = [known_kind(t, av, s) or (ANY if s and isinstance(av, Obj) else None) for av, s in zip(args, seen, strict=True)]
    defaults = func.__defaults__ or ()
    missing = func.__code__.co_argcount - len(args)
    if not 0 <= missing <= len(defaults):
        return None
    kinds += [type(d) for d in defaults[len(defaults) - missing :]] if missing else []
    return None if None in kinds else tuple(kinds)  # type: ignore[arg-type]


def weight(t: Translator, code: CodeType, seen: set[CodeType]) -> int:
    """How many bytecodes of a function, and of the functions that it was seen to call, have been executed."""
    if code in seen:
        return 0
    seen.add(code)
    observations = [one for one in t.profiles.of(code).observations.values() if one.count]
    callees = {one.__code__ for seen_there in observations for one in seen_there.callees if type(one) is FunctionType}
    return len(observations) + sum(weight(t, callee, seen) for callee in callees)


def call_directly(t: Translator, ins: Ins, target: DirectTarget, args: list[AV], operands: list[AV]) -> bool:
    """Call native code of a function, which has no frame as long as it does not leave; False where it does not take these
    arguments. References are lent: whatever holds them must go on doing so until the callee is done, or has a frame of its own."""
    func = target.func
    given: list[AV] = [*args]
    missing = len(target.kinds) - len(given)
    defaults = func.__defaults__ or ()
    if missing < 0 or missing > len(defaults):
        return False
    given += [Const(d) for d in defaults[len(defaults) - missing :]] if missing else []
    if any(owned_parts(av) for av in operands[:2] if av not in args):
        return False
    return make_call(t, ins, [target], target.kinds, target.signature, None, given, operands)


def call_one_of(t: Translator, ins: Ins, callee: Obj, at: int, args: list[AV], operands: list[AV]) -> bool:
    """Call whichever function it is, of many that were seen here. False where it is not known to be one of those that have native code
    that takes these arguments. `at`: its place on the stack."""
    seen = t.observation()
    if seen is None or not seen.megamorphic or t.raising is not None:
        return False
    place = Same(t.frame.code), ins.offset
    choice = t.choices.get(place)
    if choice is None:
        choice = choose(t, [one for one in seen.callees if one is not None], args)
        if choice is None:
            return False
        t.choices[place] = choice
    words = t.emit("direct.choose", callee.value, imm=(choice,))
    none = t.emit("int.eq", words, t.const_i(0))
    known = t.checked.get((none, "b"))
    if known:
        return False
    complete = len(choice.targets) == len(seen.callees) and not seen.overflown
    if callee.owner is OWNED or known is None and not complete:

        def is_one() -> None:
            t.checked[none, "b"] = False
            held = t.frame.stack[at]
            t.frame.stack[at] = Obj(callee.value, FunctionType, FOREVER)  # the region has all of them
            t.drop(held)

        def is_none() -> None:
            t.checked[none, "b"] = True

        t.split(none, (ins.start, not complete, is_none), (ins.start, True, is_one), again=True)
        return True
    t.guard(none, False)
    t.frame.stack[at] = Obj(callee.value, FunctionType, FOREVER)
    kinds = choice.targets[0].kinds
    if make_call(t, ins, list(choice.targets), kinds, choice.signature, (choice, words), args, operands):
        return True
    raise Leave("unsupported_operand_types", "an argument of a call of one of many")


def choose(t: Translator, callees: list[Any], args: list[AV]) -> Choice | None:
    """The native code of these functions that takes such arguments, as far as there is some, or it can be made now."""
    types = [known_kind(t, av, seen) for av, seen in zip(args, seen_kinds(t, args), strict=True)]
    kinds = tuple(ANY if kind is None or kind in REPR_OF else kind for kind in types)
    found: list[DirectTarget] = []
    for func in callees:
        code = func.__code__ if type(func) is FunctionType else None
        if code is None or code.co_flags & GENERATORS or not takes_positions(func) or code.co_argcount != len(args):
            continue
        own, key = t.own_target, (Same(func), kinds)
        if own is not None and own.func is func and own.boxed and own.kinds == kinds:
            found.append(own)
            continue
        target = t.memory.direct(func, kinds, True)
        if target is None and key not in t.memory.in_vain:
            target = t.memory.make_direct(func, kinds, True)
            if target is None:
                t.memory.in_vain.add(key)
        if target is not None and target.kinds == kinds:
            found.append(target)
    return Choice(tuple(found), Signature("o" * len(args), "o")) if len(found) > 1 else None


def seen_kinds(t: Translator, args: list[AV]) -> list[set[Any]]:
    """What kinds of arguments were recorded."""
    first = t.expected_operands() - len(args)
    return [t.expected(first + k) for k in range(len(args))]


def make_call(
    t: Translator,
    ins: Ins,
    targets: list[DirectTarget],
    kinds: tuple[type, ...],
    signature: Signature,
    chosen: tuple[Choice, Value] | None,
    given: list[AV],
    operands: list[AV],
) -> bool:
    """Call the one target, or the chosen one of several. False where it does not take these arguments."""
    if t.raising is not None:
        return False  # it may leave
    own = t.own_target
    opens = any(t.opens if target is own else target.opens for target in targets)
    for av, kind in zip(given, kinds, strict=True):
        known = t.type_of(av)
        if kind is ANY:
            continue
        if known is None and isinstance(av, Obj):
            t.ensure_type(av, kind)
        elif known is not kind:
            return False
    numbers: list[Num | None] = []
    spent: list[AV] = []
    for av, repr_ in zip(given, signature.params, strict=True):
        number = t.number(av) if repr_ != "o" else None
        if repr_ != "o" and number is None:
            return False  # an int beyond 64 bits
        if repr_ == "o" and not (isinstance(av, Const | Num | Tup) or isinstance(av, Obj) and av.owner.kind in (*LENDERS, "heap", "owned")):
            return False
        if isinstance(av, Tup):
            t.reject_hidden(av)
        numbers.append(number)
        if number is not None:
            spent.append(av)
    objects = [av for number, av in zip(numbers, given, strict=True) if number is None and not isinstance(av, Const)]
    if len([av for av in objects if opens or not isinstance(av, Obj) or av.owner in (OWNED, HEAP)]) > MOST_TEMPS:
        return False
    for target in targets:
        if target is own:
            t.calls_itself = True
        elif not opens:
            t.relies.append(target)
    imm: tuple[object, ...] = ("self" if targets[0] is own else targets[0],)
    if chosen is None:
        t.emit("direct.ready", imm=imm)
    else:
        t.emit("direct.ready_at", chosen[1])
    if any(code_info(target.func.__code__).gives_up_parameters for target in targets):
        check_lent(t, objects)
    t.drop_check(*spent)
    for target in targets:
        t.watch("function", target.func, "", function_parts(target.func))
        t.constants[id(target.func)] = target.func
    if opens:
        t.begin_opaque(directly=True)
    t.promote_heap()
    made: dict[int, Obj] = {}
    boxes: dict[Value, Obj] = {}
    for av in objects:
        same = boxes.get(av.value) if isinstance(av, Num) else None  # the callee may ask whether they are one object
        if same is not None:
            made[id(av)] = Obj(same.value, same.type, local_owner(-1, -1))
        elif not isinstance(av, Obj):
            made[id(av)] = Obj(t.owned_value(av), t.type_of(av), OWNED)
            if isinstance(av, Num):
                boxes[av.value] = made[id(av)]
    values = [number.value if number is not None else t.boxed(made.get(id(av), av)) for number, av in zip(numbers, given, strict=True)]
    temps = [one for av in objects if isinstance(one := made.get(id(av), av), Obj) and one.owner is OWNED]
    for av in spent:
        t.drop(av)
    frame = t.frame
    del frame.stack[len(frame.stack) - len(operands) :]
    names.sync(t)
    frame.call = ins
    frame.stack += temps
    frame.answer = f"temps{len(temps)}" if temps else "value"
    state = t.suspended_state()
    frame.call = None
    if chosen is None:
        answer = t.emit(f"direct.call_{signature.result}", *values, imm=imm, state=state)
    else:
        answer = t.emit("direct.call_at", chosen[1], *values, imm=(chosen[0],), state=state)
    del frame.stack[len(frame.stack) - len(temps) :]
    t.targets += [target for target in targets if target is not own and target not in t.targets]
    result = Num(answer) if signature.result != "o" else Obj(answer, None, OWNED)
    drop_temps(t, temps, result)
    frame.answer = "value"
    t.push(result)
    if opens:
        t.end_opaque()
    return True


def drop_temps(t: Translator, temps: list[Obj], result: AV) -> None:
    """Arguments that existed for a direct call only, in the order in which parameters go. Where the end of one would run code, the
    interpreter lets go of it, and goes on behind the call."""
    frame = t.frame
    assert t.ins is not None
    last_first = top_first("locals")
    left = [*temps]
    while left:
        temp = left[-1 if last_first else 0]
        if temp.type not in safe_types():
            frame.stack += [result, *left]
            frame.answer = f"temps{len(left)}"
            state = t.frame_state(t.ins.next, reason="dropped", when="after")
            del frame.stack[len(frame.stack) - len(left) - 1 :]
            t.emit("guard", t.emit("obj.ends_safely", temp.value), imm=(True,), state=state)
        t.drop(temp)
        left.remove(temp)


def call_by_name(t: Translator, ins: Ins, func: Any, args: list[AV], operands: list[AV], kwnames: tuple[str, ...]) -> bool:
    """Call native code of a function that is given arguments by name, in the order of its parameters. False where that is not possible."""
    if type(func) is not FunctionType or not takes_positions(func):
        return False
    first = t.expected_operands() - len(args) - (ins.op == "CALL_KW")
    seen = {id(av): t.expected(first + k) for k, av in enumerate(args)}
    given = in_order(func, args, kwnames)
    if given is None or not all(isinstance(av, Obj | Const | Num | Tup) for av in given):
        return False
    native = direct_target(t, func, given, [seen.get(id(av), set()) for av in given])
    return native is not None and call_directly(t, ins, native, given, operands)


def in_order(func: FunctionType, args: list[AV], kwnames: tuple[str, ...]) -> list[AV] | None:
    """The arguments in the order of the parameters, with the defaults of those that are left out between them."""
    code, defaults = func.__code__, func.__defaults__ or ()
    plain = len(args) - len(kwnames)
    names_ = code.co_varnames[: code.co_argcount]
    given = dict(zip(names_, args[:plain], strict=False))
    for name, av in zip(kwnames, args[plain:], strict=True):
        if name not in names_[code.co_posonlyargcount :] or name in given:
            return None
        given[name] = av
    ordered: list[AV] = []
    for at, name in enumerate(names_[: max(names_.index(name) for name in given) + 1]):
        default = at - code.co_argcount + len(defaults)
        if name not in given and default < 0:
            return None
        ordered.append(given[name] if name in given else Const(defaults[default]))
    return ordered if len(ordered) >= len(args) else None


def takes_positions(func: FunctionType) -> bool:
    """Whether the function can be called directly, as far as its parameters go."""
    return not func.__code__.co_flags & VARIADIC and not func.__code__.co_kwonlyargcount


def check_lent(t: Translator, args: list[AV]) -> None:
    """The interpreter gives arguments to a function; native code lends them for the time of the call. That must not be seen: what
    exists for the call only has to be something whose end runs no code."""
    for obj in (o for av in args for o in owned_parts(av)):
        if obj.type not in safe_types():
            t.end_check(obj)


def safe_types() -> frozenset[type]:
    from .translate import SAFE_TO_DROP

    return SAFE_TO_DROP
