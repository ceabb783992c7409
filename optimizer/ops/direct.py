"""Functions without an interpreter frame, called by native code directly.

A graph with a signature is such a function: it gets its parameters as values (`arg.*`) and gives its result back as one.
While it runs there is no interpreter frame for it; when it has to leave, it records its frame state in a log and
tells its caller, which records its own as it goes (suspended at this very call), and so on down to the door: there
the frames are made from the log and run. So a call costs nothing but the call.

A graph without a signature that takes its operands from a vectorcall's arguments (`door.arg`) is the door of one.
"""

from __future__ import annotations

from typing import Any

from ...abi import memory
from ..registry import GuardFailed, op


@op("arg.i", "", "i", imm="index")
def arg_i(m: Any, index: int) -> int:
    """An int parameter."""
    return int(m.arguments[index])


@op("arg.f", "", "f", imm="index")
def arg_f(m: Any, index: int) -> float:
    """A float parameter."""
    return float(m.arguments[index])


@op("arg.b", "", "b", imm="index")
def arg_b(m: Any, index: int) -> bool:
    """A bool parameter."""
    return bool(m.arguments[index])


@op("arg.o", "", "o", imm="index")
def arg_o(m: Any, index: int) -> int:
    """A reference of the exact type that the function was made for, kept alive by the caller."""
    return int(m.arguments[index])


@op("door.arg", "", "o", imm="index")
def door_arg(m: Any, index: int) -> int:
    """Argument `index` of the call that came to the door, borrowed from the caller."""
    return int(memory.read64(m.frame + 8 * index))


@op("direct.ready", "", "", guard=True, reads="any", imm="target")
def direct_ready(m: Any, target: object) -> None:
    """Leaves when a call should rather be made by the interpreter: the eval breaker is set, the recursion limit or the end
    of the C stack is near, the target ("self": this function) is not valid any more."""
    if not m.direct_ready(target):
        raise GuardFailed


def call(m: Any, args: tuple[Any, ...]) -> Any:
    *operands, target = args
    return m.direct_call(target, operands)


WRITES = "list item field attr ref alloc"


@op("direct.call_i", "?*", "i", guard=True, writes=WRITES, imm="target")
def call_i(m: Any, *args: Any) -> int:
    """Call the target with these parameters (references stay the caller's) for an int. Leaves, suspended at the call, when
    the callee had to leave."""
    return int(call(m, args))


@op("direct.call_f", "?*", "f", guard=True, writes=WRITES, imm="target")
def call_f(m: Any, *args: Any) -> float:
    """The same for a float."""
    return float(call(m, args))


@op("direct.call_b", "?*", "b", guard=True, writes=WRITES, imm="target")
def call_b(m: Any, *args: Any) -> bool:
    """The same for a bool."""
    return bool(call(m, args))


@op("direct.call_o", "?*", "o", guard=True, writes=WRITES, imm="target")
def call_o(m: Any, *args: Any) -> int:
    """The same for a reference, which is then owned."""
    return int(call(m, args))


@op("direct.choose", "o", "i", imm="choice")
def choose(m: Any, o: int, choice: Any) -> int:
    """The address of the target's two words (see `tracing/targets.py`), of the one target whose function the object is; 0 for none."""
    return next((target.cell for target in choice.targets if id(target.func) == o), 0)


@op("direct.ready_at", "i", "", guard=True, reads="any")
def direct_ready_at(m: Any, words: int) -> None:
    """The same as `direct.ready` of a target that was chosen."""
    if not m.direct_ready(None) or memory.read64(words + 8) == 0:
        raise GuardFailed


@op("direct.call_at", "i?*", "o", guard=True, writes=WRITES, imm="choice")
def call_at(m: Any, words: int, *args: Any) -> int:
    """The same as `direct.call_o` of a target that was chosen."""
    *operands, choice = args
    target = next(target for target in choice.targets if target.cell == words)
    return int(m.direct_call(target, operands))
