"""What a caller does with the result of a callee that was reached in other ways than by a plain call.

`Point.__sub__`, walked into at a BINARY_OP, returns to the middle of that operator: the operands are still on the caller's stack
and go now, NotImplemented means that the other operand is asked, and a comparison may want a truth value. The translator
emits all of that where the callee returns as it was seen to. Where the callee's frame was given to the interpreter meanwhile, the
native runtime does it (`backends/llvm/runtime_answers.py`), from the rows of this table. A frame record names its row (`FrameRec.answer`).

A generator that was walked into by the loop over it is a callee, too: what it yields is pushed, and when it has ended, the loop ends
(ITERATES). Its frame lies in the generator, which is on the stack of the frame that waits.

With TEMPS a frame, waiting or not, has operands on top of its stack that are only there to be let go, as soon as all frames
are in place: arguments that existed for a direct call only.
"""

from __future__ import annotations

from ..abi import LAYOUT
from ..abi.operands import top_first
from ..records import dataclass

# What is done with the result
VALUE = 0  # it is pushed
NONE = 1  # of a class's `__init__`: it has to be None and goes; the instance is on the stack
TEMPS = 2  # it is pushed; the operands, which the callee was lent, went when the callee had got a frame
ITERATES = 3  # it is pushed, if the generator has yielded it; otherwise FOR_ITER is done again, which finds the generator at its end
NEXT = 4  # of an iterator's `__next__`: it is pushed; if that has raised StopIteration, the loop ends
OPERANDS = 5  # the operands go, it is pushed
ASSIGNS = 6  # the operands go, and so does it
OPERATOR = 7  # as OPERANDS, but NotImplemented means: ask the other operand
INPLACE = 8  # NotImplemented means: do the operator that does not work in place
COMPARISON = 9  # as OPERATOR, and in the end objects compare by identity
LAST = 16  # flag: the other operand has been asked already

@dataclass(frozen=True)
class Answer:
    """One row. `operands`: how many are on the stack. Of operators: the special methods of the left and of the right operand, and
    the text that the error message has. `truth`: the result of a comparison is made a bool. `op`: its C number. `top_first`: in which
    order the operands go."""

    what: int
    operands: int = 0
    method: str = ""
    reflected: str = ""
    text: str = ""
    truth: bool = False
    op: int = 0
    top_first: bool = False


BINARY = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "<<": "lshift",
    ">>": "rshift",
    "&": "and",
    "|": "or",
    "^": "xor",
    "@": "matmul",
}
"""Special methods of the operators (`**`, which has three operands, is done by the generic operation)."""
COMPARE = {"<": ("lt", "gt"), "<=": ("le", "ge"), "==": ("eq", "eq"), "!=": ("ne", "ne"), ">": ("gt", "lt"), ">=": ("ge", "le")}
"""The same of comparisons: those of the left and of the right operand, which the operations on numbers are named after, too."""
COMPARE_NUMBER = {"<": 0, "<=": 1, "==": 2, "!=": 3, ">": 4, ">=": 5}
"""As C numbers them."""

ANSWERS: dict[str, Answer] = {
    "value": Answer(VALUE),
    "none": Answer(NONE),
    "item": Answer(OPERANDS, 2, top_first=top_first("item")),
    "assigns": Answer(ASSIGNS, 3, top_first=top_first("assignment")),
    "iterates": Answer(ITERATES, 2 if LAYOUT.FOR_ITER_PAIR else 1),
    "next": Answer(NEXT, 2 if LAYOUT.FOR_ITER_PAIR else 1),
}
MOST_CALLED = 10
for _count in range(2, MOST_CALLED + 1):
    ANSWERS[f"call{_count}"] = Answer(OPERANDS, _count, top_first=top_first("call"))
MOST_TEMPS = 8
for _count in range(1, MOST_TEMPS + 1):
    ANSWERS[f"temps{_count}"] = Answer(TEMPS, _count, top_first=top_first("locals"))
for _symbol, _name in BINARY.items():
    _methods = (f"__{_name}__", f"__r{_name}__")
    for _text, _end in ((_symbol, ""), (f"{_symbol}=", "_assign")):
        ANSWERS[f"{_name}{_end}"] = Answer(OPERATOR, 2, *_methods, _text, top_first=top_first("operator"))
        ANSWERS[f"r{_name}{_end}"] = Answer(OPERATOR | LAST, 2, *_methods, _text, top_first=top_first("operator"))
    ANSWERS[f"i{_name}"] = Answer(INPLACE, 2, *_methods, f"{_symbol}=", top_first=top_first("operator"))
for _symbol, (_name, _other) in COMPARE.items():
    for _truth, _end in ((False, ""), (True, "_truth")):
        _words = (2, f"__{_name}__", f"__{_other}__", _symbol, _truth, COMPARE_NUMBER[_symbol], top_first("comparison"))
        ANSWERS[f"{_name}{_end}"] = Answer(COMPARISON, *_words)
        ANSWERS[f"r{_name}{_end}"] = Answer(COMPARISON | LAST, *_words)

NUMBERS = {name: number for number, name in enumerate(ANSWERS)}
"""By which the native runtime knows them."""
