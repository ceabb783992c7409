"""A small subset of Python for native routines, which `lowlevel_translate` turns into LLVM IR text.

The runtime (leaving compiled code, the doors, the watchers) has to run without the interpreter: in callbacks
that must not push frames, between two frames, while an exception is set. Hand-written LLVM IR for it would be
thousands of unreadable lines, once per Python version. So it is written as Python functions marked `@native`,
in a subset where every value is a 64-bit word:

    @native
    def slot_close(bits):
        if LAYOUT.TAGGED:       # folded when translating: LLVM never sees other versions' code
            if bits & 1:
                return 0
        c.Py_DecRef(bits)       # a C function, from the table of signatures below
        return 0

Statements: assignment (also augmented), `if`/`elif`/`else`, `while` with `break` and `continue`, `return`,
`pass`, calls as statements, docstrings. Expressions: integers, `True`, `False`, `None` (0), local names,
integer constants of the function's module, attributes of named constant objects (`LAYOUT.X`), `+ - * & | ^ <<
>> ~` and unary minus, `//` and `%` by a constant power of two, signed comparisons, `and`, `or`, `not`,
conditional expressions, and:

    ld64 ld32 ld16 ld8 (address)      load a word; ld32 extends the sign, ld16 and ld8 are unsigned
    st64 st32 st16 st8 (address, v)   store
    ult(a, b)                         unsigned less-than
    alloca(nbytes)                    stack memory that lives until the function returns
    icall(address, ...)               call a function of 64-bit words by address
    c.NAME(...)                       call a C function; c.NAME alone is the address of a C symbol, or of a
                                      native function of the same module
    f(...)                            call of another @native function, or of itself

A name that is read before it was assigned is 0. `and`/`or` yield truth values 0 or 1, as conditions do.
Doubles travel as their bits. Variables become stack slots; LLVM's mem2reg turns them into registers.

Anything else raises NativeSyntaxError with file and line, when translating.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Return type and argument types of the C functions in use: p pointer, l 64-bit, i 32-bit int, d double, v
# nothing.
SIGNATURES: dict[str, str] = {
    "PyCell_New": "pp",
    "PyDict_Next": "ipppp",
    "PyDict_SetItem": "ippp",
    "PyErr_Clear": "v",
    "PyErr_ExceptionMatches": "ip",
    "PyErr_Format": "pppp",
    "PyErr_GetRaisedException": "p",
    "PyErr_SetInterrupt": "v",
    "PyErr_SetNone": "vp",
    "PyErr_SetRaisedException": "vp",
    "PyErr_WriteUnraisable": "vp",
    "PyFloat_FromDouble": "pd",
    "PyFunction_New": "ppp",
    "PyFunction_SetClosure": "ipp",
    "PyLong_AsLongLongAndOverflow": "lpp",
    "PyLong_FromLongLong": "pl",
    "PyMem_RawCalloc": "pll",
    "PyMem_RawFree": "vp",
    "PyList_New": "pl",
    "PyList_SetSlice": "ipllp",
    "PyList_Sort": "ip",
    "PyMem_RawMalloc": "pl",
    "PyMem_RawRealloc": "ppl",
    "PyObject_Free": "vp",
    "PyObject_GC_IsTracked": "ip",
    "PyObject_GetIter": "pp",
    "PyObject_Hash": "lp",
    "PyObject_IsTrue": "ip",
    "PyObject_RichCompareBool": "ippi",
    "PyObject_Vectorcall": "ppllp",
    "PyThreadState_Get": "p",
    "PyTuple_New": "pl",
    "PyType_GetSlot": "ppi",
    "PyType_IsSubtype": "ipp",
    "PyUnicode_Compare": "ipp",
    "PyUnicode_InternFromString": "pp",
    "PyUnicode_Join": "ppp",
    "PyWeakref_NewRef": "ppp",
    "Py_DecRef": "vp",
    "Py_IncRef": "vp",
    "Py_FatalError": "vp",
    "pthread_attr_destroy": "ip",
    "pthread_attr_getstack": "ippp",
    "pthread_getattr_np": "ilp",
    "pthread_self": "l",
    "pthread_sigmask": "iipp",
    "_PyEval_EvalFrameDefault": "pppi",
    "_PyObject_New": "pp",
    "_PyType_Lookup": "ppp",
    "_Py_Dealloc": "vp",
}

TYPES = {"p": "ptr", "l": "i64", "i": "i32", "d": "double", "v": "void"}
LOADS = {"ld64": "i64", "ld32": "i32", "ld16": "i16", "ld8": "i8"}
STORES = {"st64": "i64", "st32": "i32", "st16": "i16", "st8": "i8"}


class NativeSyntaxError(Exception):
    """The function uses something that the subset does not have; the message names file, line and
    construct."""


class NativeFunction:
    """A function of the subset. Calling it from Python is an error: only its translation can run."""

    def __init__(self, function: Callable[..., Any], inline: bool) -> None:
        self.function = function
        self.name = function.__name__
        self.inline = inline
        self.namespace: dict[str, Any] = function.__globals__
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any) -> int:
        raise TypeError(f"{self.name} is native code; it cannot be called from Python")


def native(function: Callable[..., Any] | None = None, *, inline: bool = False) -> Any:
    """Mark a function as one of the subset. With `inline` LLVM is told to inline it everywhere."""
    if function is None:
        return lambda f: NativeFunction(f, inline)
    return NativeFunction(function, inline)


def _unusable(name: str) -> Callable[..., int]:
    def intrinsic(*args: int) -> int:
        raise TypeError(f"{name} only exists in native functions")

    return intrinsic


class _Symbols:
    """`c.NAME` in a native function; has no meaning in Python."""

    def __getattr__(self, name: str) -> Any:
        return _unusable(f"c.{name}")


# So that editors, type checkers and linters see names that the translator knows by heart.
c: Any = _Symbols()
ld64, ld32, ld16, ld8 = (_unusable(name) for name in LOADS)
st64, st32, st16, st8 = (_unusable(name) for name in STORES)
ult, alloca, icall = (_unusable(name) for name in ("ult", "alloca", "icall"))
