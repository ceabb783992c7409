"""Graphs as text and back: tests are text in, text out, and reports are readable.

    graph f@12
    block entry.0():
      %0:o = frame.local [slot=0]
      %1:i = obj.unbox_int %0 else resume before "not int" frame @f+12 call 10 {0: new %0} [null, const @x]
      jump loop.1(%1)
    block loop.1(%2:i):
      ...
      branch %5 ? loop.1(%4) : done.2()
    block done.2():
      exit resume before "left" frame @f+40 call 40 {0: box %4} []

The text is a stream of tokens: line breaks and indentation are for the reader. Objects (constants, types,
code) are written `@name` and resolved through a `Symbols` table, which invents names when printing and is
given to the parser. Numbers, strings, bools, None and tuples of them are literals, except where identity
matters (the object of `const.o` and of constant slots). A virtual object that shows in several slots of one
state is written `&1=...` the first time and `&1` later. Printing what was parsed gives the same text again,
comments (`; ...`) apart.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterator
from types import CodeType

from . import ops as _ops  # noqa: F401  (fills the registry)
from .ir import SHARED, Block, Edge, FrameRec, Graph, Op, Signature, Slot, State, Value
from .registry import OPS

SINGLETONS = {"None": None, "True": True, "False": False, "Ellipsis": ...}
KINDS = ("resume", "return", "mismatch", "error", "suspended")
COMPOUND = ("range_iter", "range", "tuple", "sequence_iter", "reversed_iter", "enumerate", "zip", "generator")
BY_IDENTITY = ("object",)


class TextError(ValueError):
    """The text is no graph; the message names the token."""


class Symbols:
    """Names of objects, both ways. Printing adds the objects it meets."""

    def __init__(self, **objects: object) -> None:
        self.objects: dict[str, object] = {}
        self.names: dict[int, str] = {}
        for name, obj in objects.items():
            self.define(name, obj)

    def define(self, name: str, obj: object) -> None:
        self.objects[name] = obj
        self.names[id(obj)] = name

    def name(self, obj: object) -> str:
        """The object's name; a new one made from what it calls itself, if it has none yet."""
        known = self.names.get(id(obj))
        if known is not None:
            return known
        given = (
            obj.co_name if isinstance(obj, CodeType) else getattr(obj, "__name__", type(obj).__name__ + "_")
        )
        base = re.sub(r"\W", "_", given if isinstance(given, str) else type(obj).__name__ + "_") or "_"
        name, n = base, 1
        while name in self.objects or name in SINGLETONS:
            n += 1
            name = f"{base}_{n}"
        self.define(name, obj)
        return name

    def find(self, name: str) -> object:
        if name in self.objects:
            return self.objects[name]
        raise TextError(f"no object is named @{name}")


# ---- printing ------------------------------------------------------------


def number_all(graph: Graph) -> None:
    """Number the values, those of unreachable blocks last."""
    graph.number()
    reached = {id(b) for b in graph.reverse_postorder()}
    n = 1 + max(
        (v.number for b in graph.blocks if id(b) in reached for v in defined(b)),
        default=-1,
    )
    for block in graph.blocks:
        if id(block) not in reached:
            for value in defined(block):
                value.number = n
                n += 1


def defined(block: Block) -> Iterator[Value]:
    yield from block.params
    for op in block.ops:
        if op.result is not None:
            yield op.result


class Printer:
    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols

    def graph(self, graph: Graph) -> str:
        number_all(graph)
        lines = [f"graph {quote(graph.name)}"]
        if graph.signature is not None:
            lines[0] += f" direct({quote(graph.signature.params)}, {quote(graph.signature.result)})"
        for block in graph.blocks:
            params = ", ".join(f"%{v.number}:{v.repr}" for v in block.params)
            note = f"  ; {block.note}" if block.note else ""
            lines.append(f"block {label(block)}({params}):{note}")
            lines += ["  " + self.op(op) for op in block.ops]
            lines.append("  " + self.terminator(block))
        return "\n".join(lines) + "\n"

    def op(self, op: Op) -> str:
        text = f"%{op.result.number}:{op.result.repr} = {op.name}" if op.result is not None else op.name
        if op.args:
            text += " " + ", ".join(f"%{a.number}" for a in op.args)
        if op.imm:
            names = op.info.imm
            text += (
                " ["
                + ", ".join(f"{n}={self.immediate(n, v)}" for n, v in zip(names, op.imm, strict=True))
                + "]"
            )
        if op.state is not None:
            text += " else " + self.state(op.state)
        return text

    def terminator(self, block: Block) -> str:
        if block.term == "jump":
            return "jump " + self.edge(block.edges[0])
        if block.term == "branch":
            number = block.cond.number if block.cond is not None else -1
            return f"branch %{number} ? {self.edge(block.edges[0])} : {self.edge(block.edges[1])}"
        if block.term == "exit" and block.state is not None:
            return "exit " + self.state(block.state)
        return "unfinished"

    def edge(self, edge: Edge) -> str:
        return f"{label(edge.block)}(" + ", ".join(f"%{a.number}" for a in edge.args) + ")"

    def immediate(self, name: str, value: object) -> str:
        return self.named(value) if name in BY_IDENTITY else self.literal(value)

    def named(self, value: object) -> str:
        for name, single in SINGLETONS.items():
            if value is single:
                return name
        return "@" + self.symbols.name(value)

    def literal(self, value: object) -> str:
        if type(value) is float:
            sign = "-" if math.copysign(1.0, value) < 0 else ""
            return sign + ("nan" if value != value else repr(abs(value)))
        if type(value) is int:
            return repr(value)
        if type(value) is str:
            return quote(value)
        if type(value) is tuple:
            return "(" + "".join(self.literal(v) + ", " for v in value).rstrip(" ") + ")"
        return self.named(value)

    def state(self, state: State) -> str:
        self.shared = self.shared_slots(state)
        self.labels: dict[int, int] = {}
        text = f"{state.kind} {state.when} {quote(state.reason)}"
        if state.exit_id >= 0:
            text += f" #{state.exit_id}"
        if state.result is not None:
            text += f" = {self.slot(state.result)}"
        return text + "".join(" " + self.frame(f) for f in state.frames)

    def shared_slots(self, state: State) -> set[int]:
        seen: set[int] = set()
        shared: set[int] = set()
        work = [s for f in state.frames for s in (*f.locals.values(), *f.stack)]
        if state.result is not None:
            work.append(state.result)
        while work:
            slot = work.pop()
            if id(slot) in seen and slot.kind in (*COMPOUND, *SHARED):
                shared.add(id(slot))
            else:
                seen.add(id(slot))
                work += slot.parts
        return shared

    def frame(self, frame: FrameRec) -> str:
        text = f"frame @{self.symbols.name(frame.code)}+{frame.offset} call {frame.call_offset}"
        if frame.func is not None:
            text += f" func @{self.symbols.name(frame.func)}"
        text += " {" + ", ".join(f"{n}: {self.slot(s)}" for n, s in frame.locals.items()) + "}"
        text += " [" + ", ".join(self.slot(s) for s in frame.stack) + "]"
        if frame.poison:
            text += " poison(" + ", ".join(frame.poison) + ")"
        if frame.answer != "value":
            text += f" answer {frame.answer}"
        return text

    def slot(self, slot: Slot) -> str:
        if id(slot) in self.shared:
            if id(slot) in self.labels:
                return f"&{self.labels[id(slot)]}"
            self.labels[id(slot)] = len(self.labels) + 1
            return f"&{self.labels[id(slot)]}={self.plain_slot(slot)}"
        return self.plain_slot(slot)

    def plain_slot(self, slot: Slot) -> str:
        if slot.kind == "const":
            return "const " + self.named(slot.obj)
        if slot.kind in ("local", "twin"):
            return f"{slot.kind} {slot.index}"
        if slot.kind in SHARED:
            inside = [f"{at}: {self.slot(part)}" for at, part in zip(slot.places, slot.parts, strict=True)]
            return f"{slot.kind} {slot.index} {self.named(slot.obj)}(" + ", ".join(inside) + ")"
        if slot.kind in COMPOUND:
            inside = [*(f"%{v.number}" for v in slot.values), *(self.slot(p) for p in slot.parts)]
            where = f" {slot.index}" if slot.kind == "generator" else ""
            return f"{slot.kind}{where}(" + ", ".join(inside) + ")"
        return " ".join([slot.kind, *(f"%{v.number}" for v in slot.values)])


def label(block: Block) -> str:
    """The block's label, quoted where it is no plain name (`<module>_8.1`)."""
    return block.label if re.fullmatch(r"[A-Za-z_][\w.]*", block.label) else quote(block.label)


def quote(text: str) -> str:
    """A string literal with double quotes that Python reads back."""
    return json.dumps(text, ensure_ascii=False)


def show(graph: Graph, symbols: Symbols | None = None) -> str:
    """The graph as text."""
    return Printer(symbols if symbols is not None else Symbols()).graph(graph)


def show_op(op: Op, symbols: Symbols | None = None) -> str:
    """One operation as text, with the numbers its values have now."""
    return Printer(symbols if symbols is not None else Symbols()).op(op)


def show_state(state: State, symbols: Symbols | None = None) -> str:
    """One state as text, with the numbers its values have now."""
    return Printer(symbols if symbols is not None else Symbols()).state(state)


# ---- parsing ------------------------------------------------------------

TOKEN = re.compile(
    r"""(?P<skip>\s+|;[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<value>%\d+)
      | (?P<symbol>@\w+)
      | (?P<number>-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+(?:e[+-]?\d+)?|inf\b|nan\b))
      | (?P<name>[A-Za-z_][\w.]*)
      | (?P<mark>[()\[\]{},:=?&\#+])""",
    re.VERBOSE,
)


class Parser:
    """Blocks and results are made while reading; operands are filled in afterwards, when all values exist."""

    def __init__(self, text: str, symbols: Symbols) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None:
                raise TextError(f"unknown character {text[at]!r} at {text[at : at + 20]!r}")
            at = match.end()
            if match.lastgroup != "skip":
                self.tokens.append((match.lastgroup or "", match.group()))
        self.tokens.append(("end", ""))
        self.at = 0
        self.symbols = symbols
        self.values: dict[str, Value] = {}
        self.blocks: dict[str, Block] = {}
        self.later: list[Callable[[], None]] = []
        self.instances = 0

    # tokens

    def peek(self) -> str:
        return self.tokens[self.at][1]

    def kind(self) -> str:
        return self.tokens[self.at][0]

    def take(self, kind: str = "") -> str:
        found, text = self.tokens[self.at]
        if kind and found != kind:
            raise TextError(f"a {kind} is expected, found {text!r} after {self.behind()}")
        self.at += 1
        return text

    def behind(self) -> str:
        return " ".join(text for _, text in self.tokens[max(0, self.at - 8) : self.at])

    def accept(self, text: str) -> bool:
        if self.kind() != "string" and self.peek() == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise TextError(f"{text!r} is expected, found {self.peek()!r} after {self.behind()}")

    def items(self, close: str, item: Callable[[], object]) -> list[object]:
        found = []
        while not self.accept(close):
            found.append(item())
            if not self.accept(","):
                self.expect(close)
                break
        return found

    # grammar

    def graph(self) -> Graph:
        self.expect("graph")
        graph = Graph(ast.literal_eval(self.take("string")))
        if self.accept("direct"):
            self.expect("(")
            params, result = self.items(")", lambda: ast.literal_eval(self.take("string")))
            graph.signature = Signature(str(params), str(result))
        while self.accept("block"):
            block = self.block()
            graph.blocks.append(block)
        if self.kind() != "end":
            raise TextError(f"unexpected {self.peek()!r} after {self.behind()}")
        for fill in self.later:
            fill()
        graph.instances = self.instances
        return graph

    def block(self) -> Block:
        label = self.label()
        if label in self.blocks:
            raise TextError(f"block {label} appears twice")
        block = self.blocks[label] = Block(label)
        self.expect("(")
        self.items(")", lambda: self.define(block.param, self.take("value"), self.representation()))
        self.expect(":")
        while not self.terminator(block):
            block.ops.append(self.op())
        return block

    def label(self) -> str:
        return str(ast.literal_eval(self.take())) if self.kind() == "string" else self.take("name")

    def representation(self) -> str:
        self.expect(":")
        return self.take("name")

    def define(self, make: Callable[[str], Value], name: str, repr_: str) -> None:
        if name in self.values:
            raise TextError(f"{name} is defined twice")
        self.values[name] = make(repr_)

    def use(self, name: str) -> Value:
        if name not in self.values:
            raise TextError(f"{name} is not defined")
        return self.values[name]

    def terminator(self, block: Block) -> bool:
        if self.accept("jump"):
            block.term, block.edges = "jump", [self.edge()]
        elif self.accept("branch"):
            block.term, name = "branch", self.take("value")
            self.later.append(lambda: setattr(block, "cond", self.use(name)))
            self.expect("?")
            yes = self.edge()
            self.expect(":")
            block.edges = [yes, self.edge()]
        elif self.accept("exit"):
            block.term, block.state = "exit", self.state()
        elif not self.accept("unfinished"):
            return False
        return True

    def edge(self) -> Edge:
        label = self.label()
        self.expect("(")
        names = self.items(")", lambda: self.take("value"))
        edge = Edge(Block(label), [])

        def fill() -> None:
            if label not in self.blocks:
                raise TextError(f"there is no block {label}")
            edge.block, edge.args = self.blocks[label], [self.use(str(n)) for n in names]

        self.later.append(fill)
        return edge

    def op(self) -> Op:
        target = repr_ = ""
        if self.kind() == "value":
            target, repr_ = self.take(), self.representation()
            self.expect("=")
        name = self.take("name")
        if name not in OPS:
            raise TextError(f"there is no operation {name}")
        args: list[str] = []
        while self.kind() == "value" and self.tokens[self.at + 1][1] != ":":
            args.append(self.take())
            if not self.accept(","):
                break
        imm: tuple[object, ...] = ()
        if self.accept("["):
            imm = tuple(self.items("]", lambda: self.immediate(name)))
        op = Op(OPS[name], [], imm, self.state() if self.accept("else") else None)
        if (op.result is not None) != bool(target) or (op.result is not None and op.result.repr != repr_):
            raise TextError(f"{name} results in {op.info.result or 'nothing'}, not {repr_ or 'nothing'}")
        if op.result is not None:
            result = op.result
            self.define(lambda _: result, target, repr_)
        self.later.append(lambda: op.args.extend(self.use(a) for a in args))
        return op

    def immediate(self, op_name: str) -> object:
        name = self.take("name")
        if name not in OPS[op_name].imm:
            raise TextError(f"{op_name} has no immediate {name}")
        self.expect("=")
        return self.literal()

    def literal(self) -> object:
        kind, text = self.kind(), self.take()
        if kind == "number":
            return float(text) if re.search(r"[.en]", text) else int(text)
        if kind == "string":
            return ast.literal_eval(text)
        if kind == "symbol":
            return self.symbols.find(text[1:])
        if text == "(":
            return tuple(self.items(")", self.literal))
        if text in SINGLETONS:
            return SINGLETONS[text]
        raise TextError(f"a literal is expected, found {text!r} after {self.behind()}")

    def state(self) -> State:
        kind, when = self.take("name"), self.take("name")
        if kind not in KINDS or when not in ("before", "after"):
            raise TextError(f"a state is expected, found {kind} {when}")
        self.labels: dict[str, Slot] = {}
        state = State(kind, (), str(ast.literal_eval(self.take("string"))), None, when)
        if self.accept("#"):
            state.exit_id = int(self.take("number"))
        if self.accept("="):
            state.result = self.slot()
        frames = []
        while self.accept("frame"):
            frames.append(self.frame())
        state.frames = tuple(frames)
        return state

    def frame(self) -> FrameRec:
        code = self.symbols.find(self.take("symbol")[1:])
        if not isinstance(code, CodeType):
            raise TextError("a frame needs a code object")
        self.expect("+")
        offset = int(self.take("number"))
        self.expect("call")
        call = int(self.take("number"))
        func = self.symbols.find(self.take("symbol")[1:]) if self.accept("func") else None
        locals_: dict[int, Slot] = {}
        self.expect("{")
        self.items("}", lambda: self.local(locals_))
        self.expect("[")
        stack = [s for s in self.items("]", self.slot) if isinstance(s, Slot)]
        poison: tuple[str, ...] = ()
        if self.accept("poison"):
            self.expect("(")
            poison = tuple(str(p) for p in self.items(")", lambda: self.take("name")))
        answer = str(self.take("name")) if self.accept("answer") else "value"
        return FrameRec(code, func, offset, call, locals_, stack, poison, answer)

    def local(self, locals_: dict[int, Slot]) -> None:
        n = int(self.take("number"))
        self.expect(":")
        locals_[n] = self.slot()

    def slot(self) -> Slot:
        if self.accept("&"):
            label = self.take("number")
            if self.accept("="):
                self.labels[label] = self.slot()
            return self.labels[label]
        slot = Slot(self.take("name"))
        if slot.kind == "const":
            slot.obj = self.literal()
        elif slot.kind in ("local", "twin"):
            slot.index = int(self.take("number"))
        elif slot.kind in SHARED:
            slot.index, slot.obj = int(self.take("number")), self.literal()
            self.instances = max(self.instances, slot.index)
            attributes: dict[int, Slot] = {}
            self.expect("(")
            self.items(")", lambda: self.local(attributes))
            slot.places, slot.parts = tuple(attributes), tuple(attributes.values())
        elif slot.kind in COMPOUND:
            if slot.kind == "generator":
                slot.index = int(self.take("number"))
            self.expect("(")
            inside = self.items(")", lambda: self.take() if self.kind() == "value" else self.slot())
            slot.parts = tuple(s for s in inside if isinstance(s, Slot))
            self.fill(slot, [n for n in inside if isinstance(n, str)])
        elif self.kind() == "value":
            self.fill(slot, [self.take()])
        return slot

    def fill(self, slot: Slot, names: list[str]) -> None:
        self.later.append(lambda: setattr(slot, "values", tuple(self.use(n) for n in names)))


def parse(text: str, symbols: Symbols | None = None) -> Graph:
    """The graph of a text. Raises TextError."""
    return Parser(text, symbols if symbols is not None else Symbols()).graph()
