"""Imports inside functions, of modules that are there already: nothing is left of them.

The interpreter looks into the table of modules, at whether somebody is still importing what it finds, and at whether a package has the
names that are wanted of it. All that is done when compiling; what it came to is watched, as the values of global names are. Whatever
asks for more (modules that are not there, `__import__` of somebody's own, modules of derived classes, names that a `__getattr__`
gives) leaves the region in front of the import.
"""

from __future__ import annotations

import ctypes
from importlib.machinery import ModuleSpec
from types import BuiltinFunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ..abi import memory
from .bytecode_table import bytecode
from .bytecodes_stack import name_in, watch
from .decode import Ins
from .methods import is_data, lookup
from .translate import Leave
from .values import Const
from .versions import imported_name

if TYPE_CHECKING:
    from .translate import Translator


@bytecode("IMPORT_NAME")
def import_name(t: Translator, ins: Ins) -> None:
    index, now = imported_name(ins)
    name = t.frame.code.co_names[index]
    level, wanted = t.peek(2), t.peek(1)
    usual = constant(t, "__import__", t.frame.builtins)
    if not now or not isinstance(level, Const) or not isinstance(wanted, Const) or not is_usual(usual):
        raise Leave("unsupported_bytecode", f"import {name}")
    if level.obj:
        name = absolute(t, name, int(level.obj))  # type: ignore[call-overload]
    module = imported(t, name)
    if wanted.obj:
        has_names(t, module, wanted.obj)
    elif level.obj:
        raise Leave("unsupported_bytecode", f"import {name}")
    elif "." in name:
        module = imported(t, name.partition(".")[0])
    t.pop()
    t.pop()
    t.push(Const(module))


def is_usual(function: object) -> bool:
    """Whether it is the `__import__` of the interpreter."""
    return type(function) is BuiltinFunctionType and function.__name__ == "__import__" and getattr(function.__self__, "__name__", "") == "builtins"


def constant(t: Translator, name: str, namespace: dict[str, Any]) -> object:
    """The value of a name that is there and stays what it is. Leaves for others."""
    found = name_in(t, name, namespace)
    if not isinstance(found, Const):
        raise Leave("unstable_global", name)
    return found.obj


def absolute(t: Translator, name: str, level: int) -> str:
    """The whole name of a module that is named relative to the package of this one, on which all that say it have to agree."""
    package, spec = (constant(t, part, t.frame.globals) for part in ("__package__", "__spec__"))
    if type(package) is not str or type(spec) is not ModuleSpec or spec.parent != package or package.count(".") < level - 1 or not package:
        raise Leave("unsupported_bytecode", "a relative import")
    base = package.rsplit(".", level - 1)[0]
    return f"{base}.{name}" if name else base


def imported(t: Translator, name: str) -> ModuleType:
    """The module of that name, if it is there, and whole. Leaves where it is not."""
    table: Any = memory.object_at(modules_of_interpreter())
    module = constant(t, name, table)
    if type(module) is not ModuleType:
        raise Leave("unsupported_operand_types", f"import {name}")
    spec = constant(t, "__spec__", module.__dict__)
    if spec is not None and (type(spec) is not ModuleSpec or getattr(spec, "_initializing", True)):
        raise Leave("unsupported_operand_types", f"import {name}")
    return module


def has_names(t: Translator, module: ModuleType, wanted: Any) -> None:
    """Make sure that no module inside a package has to be imported for these names."""
    namespace = module.__dict__
    if "__path__" in namespace:
        for name in wanted:
            constant(t, name, namespace)
        return
    for name in ("__path__", "__getattr__"):
        if name in namespace:
            raise Leave("unsupported_operand_types", "__getattr__ of a module")
        watch(t, namespace, name)


@bytecode("IMPORT_FROM")
def import_from(t: Translator, ins: Ins) -> None:
    module, name = t.peek(), t.frame.code.co_names[ins.arg]
    if not isinstance(module, Const) or type(module.obj) is not ModuleType or is_data(lookup(ModuleType, name)):
        raise Leave("unsupported_operand_types", f"from ... import {name}")
    t.push(name_in(t, name, module.obj.__dict__))


modules_of_interpreter = ctypes.pythonapi.PyImport_GetModuleDict
"""The address of the table of modules, which `sys.modules` is too unless the program has put another there."""
modules_of_interpreter.restype = ctypes.c_void_p
modules_of_interpreter.argtypes = ()
