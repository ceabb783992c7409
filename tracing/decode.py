"""Decoded code objects: instructions, control flow, stack depth.

One `CodeInfo` per code object, made when the recorder or the translator first needs it. Everything is keyed by bytecode
offset (bytes, as dis and sys.monitoring count). Inline caches are skipped; EXTENDED_ARG belongs to its instruction.
"""

from __future__ import annotations

import dis
from bisect import bisect_left
from collections import Counter
from functools import cached_property
from types import CodeType

from ..records import dataclass
from .code_flags import GENERATOR, OPTIMIZED, VARARGS, VARKEYWORDS
from .versions import HAS_KW_NAMES, WIDTH, after_exhaustion, fast_slots, loaded_slots, stored_slots

NO_FALLTHROUGH = frozenset(
    {
        "RETURN_VALUE",
        "RETURN_CONST",
        "RAISE_VARARGS",
        "RERAISE",
        "JUMP_FORWARD",
        "JUMP_BACKWARD",
        "JUMP_BACKWARD_NO_INTERRUPT",
        "INTERPRETER_EXIT",
    }
)
DISPLAYS = frozenset({"BUILD_LIST", "BUILD_SET", "BUILD_MAP"})
BEFORE_LOOPS = DISPLAYS | {"LOAD_FAST_AND_CLEAR", "SWAP", "PUSH_NULL"}
"""What comprehensions do around GET_ITER before the loop, and 3.15 where a function of C is replaced by a loop over what it is given."""
NAME_STORES = frozenset({"STORE_NAME", "DELETE_NAME"})
NAME_USES = NAME_STORES | {"LOAD_NAME", "LOAD_GLOBAL", "STORE_GLOBAL"}
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)


@dataclass(frozen=True)
class Ins:
    """One instruction. Offsets are bytes; `start` is where the interpreter resumes to run it (its first EXTENDED_ARG;
    3.12: the KW_NAMES before a CALL); `exhausted` is where a FOR_ITER goes on at the end of its iterator; -1: none."""

    offset: int
    op: str
    arg: int
    target: int
    next: int
    start: int
    line: int
    exhausted: int = -1

    @property
    def goes_back(self) -> bool:
        """Whether it is a jump back to the head of a loop."""
        return self.op.startswith("JUMP_BACKWARD")


@dataclass(frozen=True)
class Handler:
    """Where the interpreter goes on after an exception: with `depth` entries left on the stack, the place of the instruction if `lasti`
    is set, and the exception."""

    target: int
    depth: int
    lasti: bool


USES_UP = ("sum", "any", "all", "min", "max", "list", "tuple", "set", "frozenset", "sorted")
"""Functions of C that use up the generator they are given, and that `consumers` can do; and the method `join`."""


class CodeInfo:
    """Static facts of one code object."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.instructions: list[Ins] = []
        self.by_offset: dict[int, Ins] = {}
        self.nlocalsplus = len(code.co_varnames) + len(
            [c for c in code.co_cellvars if c not in code.co_varnames]
        ) + len(code.co_freevars)
        self._decode()
        self.names = self._names()

    def _names(self) -> tuple[str, ...]:
        """Names that code outside functions may assign again and again: those assigned in loops, or more than once. They have slots
        like local variables, behind these."""
        if self.code.co_flags & OPTIMIZED:
            return ()
        stores = Counter(ins.arg for ins in self.instructions if ins.op in NAME_STORES)
        loops = {self.by_offset[at].arg for body in self.loops.values() for at in body if self.by_offset[at].op in NAME_STORES}
        return tuple(self.code.co_names[n] for n in sorted(loops | {n for n, count in stores.items() if count > 1}))

    def name_slot(self, name: str) -> int:
        """The slot of a name; -1 if it has none."""
        return self.nlocalsplus + self.names.index(name) if name in self.names else -1

    def slots_used(self, ins: Ins) -> tuple[int, ...]:
        """The slots of locals, and of names, that an instruction names."""
        if self.names and ins.op in NAME_USES:
            slot = self.name_slot(self.code.co_names[ins.arg >> 1 if ins.op == "LOAD_GLOBAL" else ins.arg])
            return (slot,) if slot >= 0 else ()
        return fast_slots(ins.op, ins.arg)

    def slots_stored(self, ins: Ins) -> tuple[int, ...]:
        """Those that it assigns."""
        return self.slots_used(ins) if ins.op in NAME_STORES else stored_slots(ins.op, ins.arg)

    def _decode(self) -> None:
        raw = [i for i in dis.get_instructions(self.code, show_caches=False)]
        ends = [i.offset for i in raw[1:]] + [len(self.code.co_code)]
        index = {i.offset: k for k, i in enumerate(raw)}
        start = -1
        prefixes: list[int] = []
        line = self.code.co_firstlineno
        for k, i in enumerate(raw):
            if i.positions is not None and i.positions.lineno is not None:
                line = i.positions.lineno
            if start < 0:
                start = i.offset
            if i.opname == "EXTENDED_ARG":
                prefixes.append(i.offset)
            if i.opname == "EXTENDED_ARG" or (HAS_KW_NAMES and i.opname == "KW_NAMES"):
                if i.opname == "KW_NAMES":
                    self._add(Ins(i.offset, i.opname, i.arg or 0, -1, ends[k], start, line))
                continue
            target = int(i.argval) if i.opcode in _JUMPS and i.opname != "END_ASYNC_FOR" else -1
            exhausted = -1
            if i.opname == "FOR_ITER":
                at = index[target]
                skip = after_exhaustion(raw[at].opname, raw[at + 1].opname if at + 1 < len(raw) else "")
                exhausted = raw[at + skip].offset
            self._add(Ins(i.offset, i.opname, i.arg or 0, target, ends[k], start, line, exhausted))
            for prefix in prefixes:
                # Whoever comes to the prefix finds the instruction there.
                self.by_offset.setdefault(prefix, self.by_offset[i.offset])
            prefixes.clear()
            start = -1

    def _add(self, ins: Ins) -> None:
        self.instructions.append(ins)
        self.by_offset[ins.offset] = ins

    def at(self, offset: int) -> Ins:
        """The instruction at (or whose EXTENDED_ARG is at) that offset. Raises KeyError."""
        return self.by_offset[offset]

    @property
    def named_only(self) -> tuple[str, ...]:
        """Parameters that are given by name only."""
        first = self.code.co_argcount
        return self.code.co_varnames[first : first + self.code.co_kwonlyargcount]

    @property
    def first_offset(self) -> int:
        """Where a call begins (behind what sets up cells and free variables)."""
        for ins in self.instructions:
            if ins.op == "RESUME":
                return ins.next
        return 0

    @property
    def resume_offset(self) -> int:
        """Where a frame begins that was just made and has its free variables: what makes cells of locals, or the RESUME."""
        return next((i.start for i in self.instructions if i.op in ("MAKE_CELL", "RESUME")), 0)

    @property
    def call_offset(self) -> int:
        """Where native code begins with a call: likewise, but behind the RESUME."""
        return self.resume_offset if self.cells else self.first_offset

    @cached_property
    def cells(self) -> tuple[int, ...]:
        """The slots of locals that calls of the function put into cells."""
        return tuple(i.arg for i in self.instructions if i.op == "MAKE_CELL")

    @cached_property
    def free(self) -> range:
        """The slots of locals where a frame has the cells of its function's closure."""
        return range(self.nlocalsplus - len(self.code.co_freevars), self.nlocalsplus)

    def successors(self, ins: Ins) -> list[int]:
        """Offsets where the interpreter may go on, exceptions aside."""
        out = []
        if ins.op == "FOR_ITER":
            out.append(ins.exhausted)
        elif ins.target >= 0:
            out.append(ins.target)
        if ins.op not in NO_FALLTHROUGH and ins.next in self.by_offset:
            out.append(ins.next)
        return [self.real(o) for o in out]

    def real(self, offset: int) -> int:
        """The offset of the instruction whose EXTENDED_ARG may be at `offset` (jumps and events name the prefix)."""
        ins = self.by_offset.get(offset)
        return ins.offset if ins is not None else offset

    @cached_property
    def predecessors(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for ins in self.instructions:
            for target in self.successors(ins):
                found.setdefault(target, set()).add(ins.offset)
        return found

    @cached_property
    def protected(self) -> dict[int, set[int]]:
        """Where handlers begin, to the offsets of the instructions whose exceptions come there."""
        found: dict[int, set[int]] = {}
        for offset, handler in self.handlers.items():
            found.setdefault(handler.target, set()).add(offset)
        return found

    @cached_property
    def handlers(self) -> dict[int, Handler]:
        """Where the exceptions of each instruction that has a handler go."""
        found: dict[int, Handler] = {}
        offsets = [i.offset for i in self.instructions]
        for entry in dis._parse_exception_table(self.code):  # type: ignore[attr-defined]
            for offset in offsets[bisect_left(offsets, entry.start) : bisect_left(offsets, entry.end)]:
                found.setdefault(offset, Handler(self.real(entry.target), entry.depth, entry.lasti))
        return found

    @cached_property
    def loops(self) -> dict[int, frozenset[int]]:
        """Natural loops: head offset to the offsets of its body, head included. A body that goes round by way of an
        exception handler is a loop like any other."""
        bodies: dict[int, set[int]] = {}
        for ins in self.instructions:
            if ins.target >= 0 and ins.target <= ins.offset and ins.goes_back:
                head = self.by_offset[ins.target].offset
                body = bodies.setdefault(head, {head})
                work = [ins.offset]
                while work:
                    offset = work.pop()
                    if offset not in body:
                        body.add(offset)
                        work.extend(self.predecessors.get(offset, ()))
                        work.extend(self.protected.get(offset, ()))
        return {h: frozenset(b) for h, b in bodies.items()}

    def loop_body(self, offset: int) -> frozenset[int]:
        return self.loops.get(self.real(offset), frozenset())

    def is_loop_head(self, offset: int) -> bool:
        return self.real(offset) in self.loops

    def is_merge(self, offset: int) -> bool:
        """Whether control flow joins there."""
        offset = self.real(offset)
        return len(self.predecessors.get(offset, ())) > 1 or offset in self.loops

    def stores_in_loop(self, head: int) -> frozenset[int]:
        """Local slots assigned inside the loop."""
        stored: set[int] = set()
        for offset in self.loops.get(self.real(head), ()):
            ins = self.by_offset[offset]
            stored.update(self.slots_stored(ins))
        return frozenset(stored)

    def is_looped_over(self, ins: Ins) -> bool:
        """Whether what a call (or GET_ITER, which may be one) gives goes to the loop behind it, and nowhere else."""
        asked = ins.op == "GET_ITER"
        ins = self.at(ins.next)
        while ins.op in BEFORE_LOOPS or ins.op == "GET_ITER" and not asked:
            if ins.op in DISPLAYS and (ins.arg or self.at(ins.next).op != "SWAP"):
                return False  # what is looped over, or put into something
            asked |= ins.op == "GET_ITER"
            ins = self.at(ins.next)
        return ins.op == "FOR_ITER"

    def is_used_up(self, ins: Ins) -> bool:
        """Whether the call is that of a generator expression that is the only argument of the call behind it, of a global name (or a
        method) that may be a function which native code can do for it."""
        following = self.by_offset.get(ins.next)
        if ins.op != "CALL" or ins.arg != 0 or following is None or following.op != "CALL" or following.arg != 1:
            return False
        made = False
        for before in reversed([one for one in self.instructions if one.offset < ins.offset]):
            if made and before.op == "LOAD_GLOBAL":
                return self.code.co_names[before.arg >> 1] in USES_UP
            if made and before.op == "LOAD_ATTR":
                return self.code.co_names[before.arg >> 1] == "join"
            made |= before.op == "MAKE_FUNCTION"
        return False

    @cached_property
    def is_expression(self) -> bool:
        """Whether this is the code of a generator expression, which loads what it goes over once, before anything else."""
        return bool(self.code.co_flags & GENERATOR) and self.code.co_varnames[:1] == (".0",)

    @cached_property
    def gives_up_parameters(self) -> bool:
        """Whether the code assigns or deletes a parameter: what a caller gave may end before the call does."""
        code = self.code
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & VARARGS) + bool(code.co_flags & VARKEYWORDS)
        derefs = (ins.arg for ins in self.instructions if ins.op in ("STORE_DEREF", "DELETE_DEREF"))
        return any(slot < count for slot in derefs) or any(slot < count for ins in self.instructions for slot in self.slots_stored(ins))

    @cached_property
    def identified(self) -> frozenset[int]:
        """The local variables of which the code asks which object they are: by `is` with something that is no constant, or by `id`. Numbers
        in them are to stay the objects that they are."""
        found: set[int] = set()
        for first, second, ins in zip(self.instructions, self.instructions[1:], self.instructions[2:], strict=False):
            if not second.op.startswith("LOAD_FAST"):
                continue
            slots = fast_slots(second.op, second.arg)
            if ins.op == "IS_OP" and (len(slots) == 2 or first.op not in ("LOAD_CONST", "LOAD_SMALL_INT", "LOAD_GLOBAL")):
                found.update(slots)
                found.update(fast_slots(first.op, first.arg)[-1:] if first.op.startswith("LOAD_FAST") and len(slots) == 1 else ())
            elif ins.op == "CALL" and ins.arg == 1 and first.op in ("LOAD_GLOBAL", "PUSH_NULL") and "id" in self.code.co_names:
                name = self.at(first.offset) if first.op == "LOAD_GLOBAL" else self.instructions[self.instructions.index(first) - 1]
                if name.op == "LOAD_GLOBAL" and self.code.co_names[name.arg >> 1] == "id":
                    found.update(slots)
        return frozenset(found)

    def dead(self, offset: int) -> list[int]:
        """The local variables that are assigned at or behind the offset before the code itself looks at them; none where it is not
        known."""
        live = self.live.get(self.real(offset))
        return [k for k in range(self.nlocalsplus) if k not in live] if live is not None else []

    @cached_property
    def live(self) -> dict[int, frozenset[int]]:
        """Before each instruction, the local slots whose values may still be looked at by the code itself, that of handlers
        included. (Others look at all: by `locals()`, or in a traceback.)"""
        handlers: dict[int, list[int]] = {}
        for handler, within in self.protected.items():
            for offset in within:
                handlers.setdefault(offset, []).append(handler)
        found: dict[int, set[int]] = {ins.offset: set() for ins in self.instructions}
        changed = True
        while changed:
            changed = False
            for ins in reversed(self.instructions):
                after: set[int] = set()
                for offset in (*self.successors(ins), *handlers.get(ins.offset, ())):
                    after |= found.get(offset, set())
                stored = set(stored_slots(ins.op, ins.arg)) if ins.offset not in handlers else set()
                before = after - stored | loaded_slots(ins.op, ins.arg)
                if before != found[ins.offset]:
                    found[ins.offset] = before
                    changed = True
        return {offset: frozenset(slots) for offset, slots in found.items()}

    @cached_property
    def reachable(self) -> frozenset[int]:
        seen: set[int] = set()
        work = [0]
        while work:
            offset = work.pop()
            if offset in seen or offset not in self.by_offset:
                continue
            seen.add(offset)
            work.extend(self.successors(self.by_offset[offset]))
        return frozenset(self.by_offset[o].offset for o in seen)

    @cached_property
    def depths(self) -> dict[int, int]:
        """Stack depth before each reachable instruction."""
        found: dict[int, int] = {}
        work = [(0, 0)]
        for entry in dis._parse_exception_table(self.code):  # type: ignore[attr-defined]
            work.append((entry.target, entry.depth + 1 + (1 if entry.lasti else 0)))
        while work:
            offset, depth = work.pop()
            while offset in self.by_offset and self.by_offset[offset].offset not in found:
                ins = self.by_offset[offset]
                found[ins.offset] = depth
                opcode = dis.opmap[ins.op]
                arg = ins.arg if opcode in _HAS_ARG else None
                if ins.op == "FOR_ITER":
                    keeps = self.by_offset[ins.exhausted].op == "POP_ITER"
                    work.append((ins.exhausted, depth if keeps else depth - WIDTH))
                elif ins.op == "SEND":
                    work.append((ins.target, depth))
                elif ins.target >= 0:
                    work.append((ins.target, depth + dis.stack_effect(opcode, arg, jump=True)))
                if ins.op in NO_FALLTHROUGH:
                    break
                depth += 1 if ins.op == "RETURN_GENERATOR" else dis.stack_effect(opcode, arg, jump=False)
                offset = ins.next
        return found

    def depth_at(self, offset: int) -> int:
        """Stack depth before the instruction. Raises KeyError where it is not reachable."""
        return self.depths[self.by_offset[offset].offset]


_HAS_ARG = frozenset(getattr(dis, "hasarg", ())) or frozenset(
    op for op in dis.opmap.values() if op >= dis.HAVE_ARGUMENT
)
MAX_INFOS = 4096
_infos: dict[int, CodeInfo] = {}


def code_info(code: CodeType) -> CodeInfo:
    """The facts of a code object, kept as long as the process has room for them. Keyed by identity: code objects compare by
    value, and equal ones are different places."""
    info = _infos.get(id(code))
    if info is None:
        if len(_infos) >= MAX_INFOS:
            _infos.clear()
        info = _infos[id(code)] = CodeInfo(code)
    return info
