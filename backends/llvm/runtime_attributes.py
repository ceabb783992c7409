"""Attributes of objects whose class is not known when compiling, as far as no code runs for them.

What `object.__getattribute__` does, reading only: a slot of the class first, then the instance's own value (in its inline values or its
dict), then what the class has, if that is given as it is. Where there would be more to do (a property, a `__getattr__`, a class or
module, binding a method that is not to be called) it says that it cannot tell.
"""

# ruff: noqa: ANN001, ANN201  (native functions: every parameter and result is a word)
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from ...abi import LAYOUT, instances
from .lowlevel import alloca, c, ld8, ld32, ld64, native, st64
from .runtime_dicts import find_text

MANAGED_DICT = instances.MANAGED_DICT
VALUES_FLAGS = instances.values_flags(LAYOUT)
MAPPING_BYTES = max(LAYOUT.DICT_KEYS, LAYOUT.DICT_VALUES) + 8


@native
def own_value(obj, kind, name):
    """What the instance has of its own under the name: borrowed, 0 for nothing, NotImplemented where that cannot be told."""
    flags = ld64(kind + LAYOUT.TYPE_FLAGS)
    held = 0
    if flags & MANAGED_DICT:
        held = ld64(obj + LAYOUT.DICT_WORD)
        values = 0
        if LAYOUT.VALUES_IN_OBJECT:
            if flags & VALUES_FLAGS == VALUES_FLAGS:
                values = obj + ld64(kind + LAYOUT.TYPE_BASICSIZE)
                if (ld8(values + LAYOUT.VALUES_VALID) & 1) == 0:
                    values = 0
        elif held & 1:
            values = held + 1
        if values:
            # A dict with shared keys is made of two words.
            keys = ld64(kind + LAYOUT.TYPE_CACHED_KEYS)
            if keys == 0:
                return c._Py_NotImplementedStruct
            mapping = alloca(MAPPING_BYTES)
            st64(mapping + LAYOUT.DICT_KEYS, keys)
            st64(mapping + LAYOUT.DICT_VALUES, values)
            return find_text(mapping, name)
    else:
        offset = ld64(kind + LAYOUT.TYPE_DICTOFFSET)
        if offset < 0:
            return c._Py_NotImplementedStruct
        if offset:
            held = ld64(obj + offset)
    if held == 0:
        return 0
    if ld64(held + LAYOUT.OB_TYPE) != c.PyDict_Type:
        return c._Py_NotImplementedStruct
    return find_text(held, name)


@native
def attribute_find(obj, name):
    """What `obj.name` is: borrowed, 0 for nothing, NotImplemented where that cannot be told."""
    kind = ld64(obj + LAYOUT.OB_TYPE)
    if ld64(kind + LAYOUT.TYPE_GETATTRO) != ld64(c.PyBaseObject_Type + LAYOUT.TYPE_GETATTRO):
        return c._Py_NotImplementedStruct
    found = c._PyType_Lookup(kind, name)
    described = 0
    if found:
        described = ld64(found + LAYOUT.OB_TYPE)
        if ld64(described + LAYOUT.TYPE_DESCR_SET):
            return member(obj, kind, found)
    own = own_value(obj, kind, name)
    if own or found == 0:
        return own
    return c._Py_NotImplementedStruct if ld64(described + LAYOUT.TYPE_DESCR_GET) else found


@native
def member(obj, kind, found):
    """What is in the slot, if the data descriptor is that of a slot of the class."""
    if ld64(found + LAYOUT.OB_TYPE) != c.PyMemberDescr_Type:
        return c._Py_NotImplementedStruct
    described = ld64(found + LAYOUT.MEMBER_DEF)
    if ld32(described + LAYOUT.MEMBERDEF_TYPE) != LAYOUT.MEMBER_OBJECT or ld32(described + LAYOUT.MEMBERDEF_FLAGS):
        return c._Py_NotImplementedStruct
    if c.PyType_IsSubtype(kind, ld64(found + LAYOUT.DESCRIPTOR_TYPE)) == 0:
        return c._Py_NotImplementedStruct
    return ld64(obj + ld64(described + LAYOUT.MEMBERDEF_OFFSET))


@native
def method_find(obj, name):
    """The function, or method of C, that `obj.name(...)` calls with obj: borrowed, NotImplemented where it is none, or cannot be told."""
    kind = ld64(obj + LAYOUT.OB_TYPE)
    if ld64(kind + LAYOUT.TYPE_GETATTRO) != ld64(c.PyBaseObject_Type + LAYOUT.TYPE_GETATTRO):
        return c._Py_NotImplementedStruct
    found = c._PyType_Lookup(kind, name)
    if found == 0:
        return c._Py_NotImplementedStruct
    described = ld64(found + LAYOUT.OB_TYPE)
    if described != c.PyFunction_Type and described != c.PyMethodDescr_Type:
        return c._Py_NotImplementedStruct
    return c._Py_NotImplementedStruct if own_value(obj, kind, name) else found
