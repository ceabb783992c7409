"""CPython's own table of offsets, a second witness for the self-test.

From 3.13 on `_PyRuntime` starts with `_Py_DebugOffsets`, made for debuggers: a cookie, the version, then one
structure of 8-byte offsets after the other. The order below is that of each version's header; only structures
up to the last one of use are listed. A structure given as a number is skipped, that many words long.
"""

from __future__ import annotations

from .layout import Layout
from .probing import Mismatch, Probe

_COOKIE = b"xdebugpy"

# (structure, its fields in order, or the number of its words); names map to ours below
_FRAME_313 = "size previous executable instr_ptr localsplus owner"
_FRAME_314 = _FRAME_313 + " stackpointer tlbc_index"
_THREAD_313 = "size prev next interp current_frame thread_id native_thread_id datastack_chunk status"
_THREAD_315 = (
    "size prev next interp current_frame base_frame last_profiled_frame last_profiled_frame_seq thread_id "
    "native_thread_id datastack_chunk status holds_gil gil_requested current_exception exc_state"
)
_CODE_313 = (
    "size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds "
    "co_code_adaptive"
)
_TYPE_313 = "size tp_name tp_repr tp_flags"

_TABLES: dict[tuple[int, int], list[tuple[str, str | int]]] = {
    (3, 13): [
        ("runtime", 3),
        ("interpreter", 13),
        ("thread", _THREAD_313),
        ("frame", _FRAME_313),
        ("code", _CODE_313),
        ("object", "size ob_type"),
        ("type", _TYPE_313),
        ("tuple", "size ob_item ob_size"),
        ("list", "size ob_item ob_size"),
        ("dict", 3),
        ("float", "size ob_fval"),
        ("long", "size lv_tag ob_digit"),
        ("bytes", 3),
        ("unicode", "size state length asciiobject_size"),
    ],
    (3, 14): [
        ("runtime", 3),
        ("interpreter", 16),
        ("thread", _THREAD_313),
        ("frame", _FRAME_314),
        ("code", _CODE_313 + " co_tlbc"),
        ("object", "size ob_type"),
        ("type", _TYPE_313),
        ("tuple", "size ob_item ob_size"),
        ("list", "size ob_item ob_size"),
        ("set", 4),
        ("dict", 3),
        ("float", "size ob_fval"),
        ("long", "size lv_tag ob_digit"),
        ("bytes", 3),
        ("unicode", "size state length asciiobject_size"),
        ("gc", 2),
        ("gen", "size gi_name gi_iframe gi_frame_state"),
        ("llist", 2),
        ("debugger", "eval_breaker"),
    ],
    (3, 15): [
        ("runtime", 3),
        ("interpreter", 16),
        ("thread", _THREAD_315),
        ("exception item", "exc_value"),
        ("frame", _FRAME_314),
        ("code", _CODE_313 + " co_tlbc"),
        ("object", "size ob_type"),
        ("type", _TYPE_313 + " tp_basicsize tp_dictoffset"),
        ("heap type", 2),
        ("tuple", "size ob_item ob_size"),
        ("list", "size ob_item ob_size"),
        ("set", 4),
        ("dict", 3),
        ("float", "size ob_fval"),
        ("long", "size lv_tag ob_digit"),
        ("bytes", 3),
        ("unicode", "size state length asciiobject_size compactunicodeobject_size"),
        ("gc", 5),
        ("gen", "size gi_name gi_iframe gi_frame_state"),
        ("llist", 2),
        ("debugger", "eval_breaker"),
    ],
}

_OURS = {
    "thread.interp": "TS_INTERP",
    "thread.current_frame": "TS_CURRENT_FRAME",
    "thread.datastack_chunk": "TS_DATASTACK_CHUNK",
    "frame.previous": "FRAME_PREVIOUS",
    "frame.executable": "FRAME_CODE",
    "frame.instr_ptr": "FRAME_IP",
    "frame.localsplus": "FRAME_LOCALSPLUS",
    "frame.owner": "FRAME_OWNER",
    "frame.stackpointer": "FRAME_SP",
    "code.argcount": "CODE_ARGCOUNT",
    "code.co_code_adaptive": "CODE_BYTES",
    "exception item.exc_value": "EXC_INFO_VALUE",
    "object.ob_type": "OB_TYPE",
    "type.tp_flags": "TYPE_FLAGS",
    "type.tp_basicsize": "TYPE_BASICSIZE",
    "type.tp_dictoffset": "TYPE_DICTOFFSET",
    "tuple.ob_item": "TUPLE_ITEMS",
    "tuple.ob_size": "OB_SIZE",
    "list.ob_item": "LIST_ITEMS",
    "list.ob_size": "OB_SIZE",
    "float.ob_fval": "FLOAT_VALUE",
    "long.lv_tag": "INT_TAG",
    "long.ob_digit": "INT_DIGITS",
    "unicode.length": "STR_LENGTH",
    "gen.gi_iframe": "GEN_FRAME",
    "gen.gi_frame_state": "GEN_STATE",
    "debugger.eval_breaker": "EVAL_BREAKER_OFFSET",
}


def compare(p: Probe, layout: Layout, runtime: int, hexversion: int) -> None:
    """Compare the layout with the table at _PyRuntime.

    Raises Mismatch naming the first field that differs, or the head if the table is not what it should be.
    """
    table = _TABLES.get(layout.VERSION)
    if table is None:
        return
    if p.bytes(runtime, 8) != _COOKIE:
        raise Mismatch("the cookie of _Py_DebugOffsets")
    if p.word(runtime + 8) != hexversion:
        raise Mismatch("VERSION")
    if p.word(runtime + 16) != int(layout.FREE_THREADED):
        raise Mismatch("FREE_THREADED")
    at = runtime + 24
    for structure, fields in table:
        if isinstance(fields, int):
            at += 8 * fields
            continue
        for name in fields.split():
            ours = _OURS.get(f"{structure}.{name}")
            if ours is not None and p.word(at) != p.offset(ours):
                raise Mismatch(ours)
            at += 8
