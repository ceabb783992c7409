"""The translator of the native subset (see `lowlevel`): Python functions in, LLVM IR text out.

A module of its own because it is rarely needed: the code of the runtime's routines is kept on disk.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .lowlevel import LOADS, SIGNATURES, STORES, TYPES, NativeFunction, NativeSyntaxError

WORD = 1 << 64

BINARY: dict[type[ast.operator], tuple[str, Callable[[int, int], int]]] = {
    ast.Add: ("add", lambda a, b: a + b),
    ast.Sub: ("sub", lambda a, b: a - b),
    ast.Mult: ("mul", lambda a, b: a * b),
    ast.BitAnd: ("and", lambda a, b: a & b),
    ast.BitOr: ("or", lambda a, b: a | b),
    ast.BitXor: ("xor", lambda a, b: a ^ b),
    ast.LShift: ("shl", lambda a, b: a << b),
    ast.RShift: ("ashr", lambda a, b: a >> b),
}
COMPARE: dict[type[ast.cmpop], tuple[str, Callable[[int, int], bool]]] = {
    ast.Eq: ("eq", lambda a, b: a == b),
    ast.NotEq: ("ne", lambda a, b: a != b),
    ast.Is: ("eq", lambda a, b: a == b),
    ast.IsNot: ("ne", lambda a, b: a != b),
    ast.Lt: ("slt", lambda a, b: a < b),
    ast.LtE: ("sle", lambda a, b: a <= b),
    ast.Gt: ("sgt", lambda a, b: a > b),
    ast.GtE: ("sge", lambda a, b: a >= b),
}

# A translated expression: a Python int when it is known, else the text of an LLVM value of type i64.
Word = int | str


def tree(function: NativeFunction) -> ast.FunctionDef:
    """The function's syntax tree with the line numbers of its file."""
    lines, first = inspect.getsourcelines(function.function)
    module = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(module, first - 1)
    definition = module.body[0]
    assert isinstance(definition, ast.FunctionDef)
    return definition


def file(function: NativeFunction) -> str:
    return inspect.getsourcefile(function.function) or "?"


def translate(
    functions: Iterable[NativeFunction],
    constants: Mapping[str, Any] | None = None,
    signatures: Mapping[str, str] | None = None,
) -> str:
    """LLVM IR text of a module that exports the functions; what they call is translated along as internal
    functions.

    `constants` overrides names of the functions' modules: ints, or objects whose int attributes are used
    (`LAYOUT`). `signatures` adds to the table of C functions. Raises NativeSyntaxError.
    """
    return Translator(constants or {}, signatures or {}).module(list(functions))


class Translator:
    """Translates a set of functions into one module."""

    def __init__(self, constants: Mapping[str, Any], signatures: Mapping[str, str]) -> None:
        self.constants = constants
        self.signatures = {**SIGNATURES, **signatures}
        self.queue: list[NativeFunction] = []
        self.names: dict[str, NativeFunction] = {}
        self.called: set[str] = set()
        self.data: set[str] = set()

    def want(self, function: NativeFunction) -> str:
        known = self.names.setdefault(function.name, function)
        if known is not function:
            raise NativeSyntaxError(f"two native functions are called {function.name!r}")
        if function not in self.queue:
            self.queue.append(function)
        return function.name

    def module(self, exports: list[NativeFunction]) -> str:
        for function in exports:
            self.want(function)
        parts: list[str] = []
        for function in self.queue:  # grows while we walk it
            parts.append(FunctionTranslator(self, function, function in exports).text())
        head = [self.declaration(name) for name in sorted(self.called)]
        head += [
            f"@{name} = external global i8" for name in sorted(self.data - self.called - set(self.names))
        ]
        return "\n".join(head + parts) + "\n"

    def declaration(self, name: str) -> str:
        result, args = self.signatures[name][0], self.signatures[name][1:]
        return f"declare {TYPES[result]} @{name}({', '.join(TYPES[a] for a in args)})"


class FunctionTranslator:
    """Translates one function: statements append lines, expressions return words."""

    def __init__(self, module: Translator, function: NativeFunction, exported: bool) -> None:
        self.module = module
        self.function = function
        self.exported = exported
        self.tree = tree(function)
        self.lines: list[str] = []
        self.slots: dict[str, str] = {}
        self.counter = 0
        self.ended = False
        self.loops: list[tuple[str, str]] = []
        self.assigned = {
            node.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }

    def fail(self, node: ast.AST, message: str) -> NativeSyntaxError:
        where = f"{file(self.function)}:{getattr(node, 'lineno', '?')}"
        return NativeSyntaxError(f"{where}: in native function {self.function.name}: {message}")

    # -- text

    def text(self) -> str:
        arguments = self.tree.args
        if (
            arguments.vararg
            or arguments.kwarg
            or arguments.kwonlyargs
            or arguments.defaults
            or arguments.posonlyargs
        ):
            raise self.fail(self.tree, "only plain positional parameters")
        params = [argument.arg for argument in arguments.args]
        for name in params:
            self.slots[name] = f"%v.{name}"
        for name in sorted(self.assigned - set(params)):
            self.slots[name] = f"%v.{name}"
        self.block(self.tree.body)
        if not self.ended:
            self.emit("ret i64 0")
        head = [f"  {slot} = alloca i64" for slot in self.slots.values()]
        head += [
            f"  store i64 {'%a.' + name if name in params else 0}, ptr {slot}"
            for name, slot in self.slots.items()
        ]
        linkage = "" if self.exported else "internal "
        attribute = " alwaysinline" if self.function.inline and not self.exported else ""
        signature = ", ".join(f"i64 %a.{name}" for name in params)
        body = "\n".join(["entry:", *head, *self.lines])
        return f"define {linkage}i64 @{self.function.name}({signature}) nounwind{attribute} {{\n{body}\n}}"

    def emit(self, line: str) -> None:
        self.lines.append("  " + line)

    def value(self, line: str) -> str:
        self.counter += 1
        name = f"%t{self.counter}"
        self.emit(f"{name} = {line}")
        return name

    def label(self, hint: str) -> str:
        self.counter += 1
        return f"{hint}{self.counter}"

    def start(self, label: str) -> None:
        """Begin a block; control falls into it from the block before, if that has not ended."""
        if not self.ended:
            self.emit(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.ended = False

    def jump(self, label: str) -> None:
        if not self.ended:
            self.emit(f"br label %{label}")
        self.ended = True

    # -- statements

    def block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if self.ended:
                return
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.store(name, self.word(value))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self.store(name, self.word(value))
            case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
                load = ast.copy_location(ast.Name(id=name, ctx=ast.Load()), target)
                self.store(name, self.word(ast.copy_location(ast.BinOp(load, op, value), node)))
            case ast.If(test=test, body=body, orelse=orelse):
                self.conditional(test, body, orelse)
            case ast.While(test=test, body=body, orelse=[]):
                self.loop(test, body)
            case ast.Return(value=value):
                word = self.word(value) if value is not None else 0
                self.emit(f"ret i64 {word}")
                self.ended = True
            case ast.Break():
                self.jump(self.loops[-1][1])
            case ast.Continue():
                self.jump(self.loops[-1][0])
            case ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.Expr(value=ast.Call() as call):
                self.word(call)
            case _:
                raise self.fail(node, f"statement not in the subset: {ast.unparse(node).splitlines()[0]}")

    def store(self, name: str, word: Word) -> None:
        self.emit(f"store i64 {word}, ptr {self.slots[name]}")

    def conditional(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        known = self.fold(test)
        if known is not None:
            self.block(body if known else orelse)
            return
        then, other, end = self.label("then"), self.label("else"), self.label("end")
        self.branch(test, then, other if orelse else end)
        self.start(then)
        self.block(body)
        reached = not self.ended
        self.jump(end)
        if orelse:
            self.start(other)
            self.block(orelse)
            reached = reached or not self.ended
            self.jump(end)
        if reached or not orelse:
            self.start(end)

    def loop(self, test: ast.expr, body: list[ast.stmt]) -> None:
        known = self.fold(test)
        if known is not None and not known:
            return
        head, inside, end = self.label("while"), self.label("do"), self.label("done")
        self.start(head)
        if known is None:
            self.branch(test, inside, end)
        else:
            self.jump(inside)
        self.start(inside)
        self.loops.append((head, end))
        self.block(body)
        self.loops.pop()
        self.jump(head)
        self.start(end)

    # -- conditions

    def fold(self, node: ast.expr) -> bool | None:
        """The truth of a condition that is known while translating, else None. Emits nothing."""
        match node:
            case ast.BoolOp(op=op, values=values):
                decided = isinstance(op, ast.Or)  # the value that decides at once
                known = [self.fold(value) for value in values]
                for truth in known:  # an unknown part before the deciding one may have effects
                    if truth is None:
                        return None
                    if truth == decided:
                        return decided
                return not decided
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                truth = self.fold(operand)
                return None if truth is None else not truth
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                a, b = self.constant(left), self.constant(right)
                return None if a is None or b is None else COMPARE[type(op)][1](a, b)
        value = self.constant(node)
        return None if value is None else bool(value)

    def constant(self, node: ast.expr) -> int | None:
        """The value of an expression made of constants only."""
        match node:
            case ast.Constant(value=value):
                if value is None or isinstance(value, int):
                    return int(value or 0)
            case ast.Name(id=name) if name not in self.slots:
                found = self.lookup(node, name)
                return int(found) if isinstance(found, int) else None
            case ast.Attribute(value=ast.Name(id=base), attr=attr) if base not in self.slots and base != "c":
                value = getattr(self.lookup(node, base), attr, None)
                if not isinstance(value, int):
                    raise self.fail(node, f"{base}.{attr} is not an integer constant")
                return int(value)
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self.constant(left), self.constant(right)
                if a is not None and b is not None and type(op) in BINARY:
                    return signed(BINARY[type(op)][1](a, b))
            case ast.UnaryOp(op=op, operand=operand):
                a = self.constant(operand)
                if a is not None:
                    if isinstance(op, ast.Not):
                        return int(not a)
                    return -a if isinstance(op, ast.USub) else ~a if isinstance(op, ast.Invert) else a
            case ast.IfExp(test=test, body=body, orelse=orelse):
                known = self.fold(test)
                return None if known is None else self.constant(body if known else orelse)
        return None

    def lookup(self, node: ast.AST, name: str) -> Any:
        if name in self.module.constants:
            return self.module.constants[name]
        if name in self.function.namespace:
            return self.function.namespace[name]
        raise self.fail(node, f"unknown name {name!r}")

    def branch(self, node: ast.expr, yes: str, no: str) -> None:
        """End the block with a jump to `yes` or `no`."""
        known = self.fold(node)
        if known is not None:
            self.jump(yes if known else no)
            return
        match node:
            case ast.BoolOp(op=op, values=[*first, last]):
                for value in first:
                    rest = self.label("and" if isinstance(op, ast.And) else "or")
                    if isinstance(op, ast.And):
                        self.branch(value, rest, no)
                    else:
                        self.branch(value, yes, rest)
                    self.start(rest)
                self.branch(last, yes, no)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.branch(operand, no, yes)
            case _:
                bit = self.bit(node)
                self.emit(f"br i1 {bit}, label %{yes}, label %{no}")
                self.ended = True

    def bit(self, node: ast.expr) -> str:
        """A condition without `and`, `or`, `not` as an i1."""
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARE:
                a, b = self.word(left), self.word(right)
                return self.value(f"icmp {COMPARE[type(op)][0]} i64 {a}, {b}")
            case ast.Compare():
                raise self.fail(node, f"comparison not in the subset: {ast.unparse(node)}")
            case ast.Call(func=ast.Name(id="ult"), args=[left, right]):
                a, b = self.word(left), self.word(right)
                return self.value(f"icmp ult i64 {a}, {b}")
        return self.value(f"icmp ne i64 {self.word(node)}, 0")

    def truth(self, node: ast.expr) -> str:
        """A condition as a word, 0 or 1."""
        if isinstance(node, ast.Compare) or (isinstance(node, ast.Call)):
            return self.value(f"zext i1 {self.bit(node)} to i64")
        return self.merge(node, ast.Constant(1), ast.Constant(0))

    def merge(self, test: ast.expr, body: ast.expr, orelse: ast.expr) -> str:
        """`body if test else orelse`, through a stack slot of its own."""
        self.counter += 1
        name = f".m{self.counter}"
        self.slots[name] = f"%v{name}"
        yes, no, end = self.label("yes"), self.label("no"), self.label("end")
        self.branch(test, yes, no)
        for label, node in ((yes, body), (no, orelse)):
            self.start(label)
            self.store(name, self.word(node))
            self.jump(end)
        self.start(end)
        return self.value(f"load i64, ptr {self.slots[name]}")

    # -- expressions

    def word(self, node: ast.expr) -> Word:
        known = self.constant(node)
        if known is not None:
            return known
        match node:
            case ast.Name(id=name) if name in self.slots:
                return self.value(f"load i64, ptr {self.slots[name]}")
            case ast.Name(id=name):
                raise self.fail(node, f"{name!r} is neither a local variable nor an integer constant")
            case ast.Attribute(value=ast.Name(id="c"), attr=symbol):
                self.module.data.add(symbol)
                if symbol in self.module.signatures:
                    self.module.called.add(symbol)
                return f"ptrtoint (ptr @{symbol} to i64)"
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(node, left, op, right)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self.value(f"sub i64 0, {self.word(operand)}")
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return self.value(f"xor i64 {self.word(operand)}, -1")
            case ast.UnaryOp(op=ast.Not()) | ast.BoolOp() | ast.Compare():
                return self.truth(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                truth = self.fold(test)
                if truth is not None:
                    return self.word(body if truth else orelse)
                return self.merge(test, body, orelse)
            case ast.Call():
                return self.call(node)
        raise self.fail(node, f"expression not in the subset: {ast.unparse(node)}")

    def binary(self, node: ast.AST, left: ast.expr, op: ast.operator, right: ast.expr) -> str:
        if isinstance(op, ast.FloorDiv | ast.Mod):
            divisor = self.constant(right)
            if divisor is None or divisor <= 0 or divisor & (divisor - 1):
                raise self.fail(node, "// and % only by a constant power of two")
            value = self.word(left)
            if isinstance(op, ast.Mod):
                return self.value(f"and i64 {value}, {divisor - 1}")
            return self.value(f"ashr i64 {value}, {divisor.bit_length() - 1}")
        if type(op) not in BINARY:
            raise self.fail(node, f"operator {type(op).__name__} not in the subset")
        a, b = self.word(left), self.word(right)
        return self.value(f"{BINARY[type(op)][0]} i64 {a}, {b}")

    def pointer(self, word: Word) -> str:
        return self.value(f"inttoptr i64 {word} to ptr")

    def call(self, node: ast.Call) -> Word:
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self.fail(node, "only plain positional arguments")
        match node.func:
            case ast.Attribute(value=ast.Name(id="c"), attr=name):
                return self.c_call(node, name)
            case ast.Name(id=name):
                pass
            case _:
                raise self.fail(node, f"call not in the subset: {ast.unparse(node)}")
        if name in LOADS or name in STORES or name in ("ult", "alloca", "icall"):
            return self.intrinsic(node, name)
        target = self.lookup(node, name)
        if not isinstance(target, NativeFunction):
            raise self.fail(node, f"{name!r} is not a native function")
        wanted = len(inspect.signature(target.function).parameters)
        if wanted != len(node.args):
            raise self.fail(node, f"{name} takes {wanted} arguments, not {len(node.args)}")
        args = [self.word(argument) for argument in node.args]
        return self.value(f"call i64 @{self.module.want(target)}({', '.join(f'i64 {a}' for a in args)})")

    def intrinsic(self, node: ast.Call, name: str) -> Word:
        wanted = 2 if name in STORES or name == "ult" else 1
        if name != "icall" and len(node.args) != wanted:
            raise self.fail(node, f"{name} takes {wanted} arguments")
        if name == "ult":
            return self.truth(node)
        args = [self.word(argument) for argument in node.args]
        if name in LOADS:
            kind = LOADS[name]
            loaded = self.value(f"load {kind}, ptr {self.pointer(args[0])}, align {int(kind[1:]) // 8}")
            if kind == "i64":
                return loaded
            return self.value(f"{'sext' if kind == 'i32' else 'zext'} {kind} {loaded} to i64")
        if name in STORES:
            kind = STORES[name]
            address = self.pointer(args[0])
            stored = args[1] if kind == "i64" else self.value(f"trunc i64 {args[1]} to {kind}")
            self.emit(f"store {kind} {stored}, ptr {address}, align {int(kind[1:]) // 8}")
            return 0
        if name == "alloca":
            return self.value(f"ptrtoint ptr {self.value(f'alloca i8, i64 {args[0]}, align 16')} to i64")
        address = self.pointer(args[0])
        return self.value(f"call i64 {address}({', '.join(f'i64 {a}' for a in args[1:])})")

    def c_call(self, node: ast.Call, name: str) -> Word:
        signature = self.module.signatures.get(name)
        if signature is None:
            raise self.fail(node, f"the signature of C function {name} is not declared")
        result, kinds = signature[0], signature[1:]
        if len(kinds) != len(node.args):
            raise self.fail(node, f"{name} takes {len(kinds)} arguments, not {len(node.args)}")
        self.module.called.add(name)
        args = [self.convert(self.word(argument), kind) for argument, kind in zip(node.args, kinds)]
        text = f"call {TYPES[result]} @{name}({', '.join(args)})"
        if result == "v":
            self.emit(text)
            return 0
        value = self.value(text)
        if result == "l":
            return value
        cast = {"p": f"ptrtoint ptr {value}", "i": f"sext i32 {value}", "d": f"bitcast double {value}"}[
            result
        ]
        return self.value(f"{cast} to i64")

    def convert(self, word: Word, kind: str) -> str:
        """An argument with its C type."""
        if kind == "l":
            return f"i64 {word}"
        if kind == "p":
            return f"ptr {self.pointer(word)}"
        if kind == "i":
            return f"i32 {self.value(f'trunc i64 {word} to i32')}"
        return f"double {self.value(f'bitcast i64 {word} to double')}"


def signed(value: int) -> int:
    """The value as a signed 64-bit word."""
    value %= WORD
    return value - WORD if value >= WORD // 2 else value
