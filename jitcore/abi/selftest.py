"""Start-up proof that the table of offsets is right for the interpreter that runs.

Everything jitcore reads or writes in the interpreter's memory is first compared with what Python itself says
about the same thing: a frame's fields with the frame object's attributes, an int's digits with its value, the
top of the data stack with the end of the current frame, and so on. One mismatch, and jitcore stays off, which
is always correct. The probes read in a way that cannot crash (see `probing`); those that have to change
something use throw-away functions and classes of their own.

Debug builds have the same layout and pass. `check` takes about a millisecond (two there) and does not
remember its answer: callers do.
"""

from __future__ import annotations

import ctypes
import sys

from . import debug_offsets, probes_frames, probes_instances, probes_objects
from .layout import VERSIONS, Layout
from .memory import LAYOUT, has_symbol, symbol, thread_state
from .probing import PROBES, Mismatch, Probe

assert probes_frames and probes_instances and probes_objects  # importing them filled PROBES

# What native code and the runtime call or refer to by name.
SYMBOLS = (
    "_PyEval_EvalFrameDefault",
    "_Py_Dealloc",
    "PyBool_Type",
    "PyCMethod_New",
    "PyDict_AddWatcher",
    "PyDict_Type",
    "PyDict_Unwatch",
    "PyDict_Watch",
    "PyErr_CheckSignals",
    "PyErr_GetRaisedException",
    "PyErr_Occurred",
    "PyErr_SetRaisedException",
    "PyFloat_FromDouble",
    "PyFloat_Type",
    "PyFunction_AddWatcher",
    "PyFunction_SetVectorcall",
    "PyList_Type",
    "PyLong_FromLongLong",
    "PyLong_Type",
    "PyObject_GetArenaAllocator",
    "PyObject_Vectorcall",
    "PyRange_Type",
    "PyThreadState_Get",
    "PyTuple_New",
    "PyType_AddWatcher",
    "PyType_FromSpec",
    "PyType_Unwatch",
    "PyType_Watch",
    "PyUnstable_Type_AssignVersionTag",
)


def _refused_kind(layout: Layout | None) -> str | None:
    """Why this kind of interpreter is out of the question, before anything is read."""
    name = sys.implementation.name
    if name != "cpython":
        return f"this is {name}, and jitcore works on CPython only"
    if layout is None:
        known = ", ".join(f"{major}.{minor}" for major, minor in VERSIONS)
        return f"CPython {sys.version_info[0]}.{sys.version_info[1]} is not one of the known versions {known}"
    if "t" in getattr(sys, "abiflags", ""):
        return "this is a free-threaded build of CPython"
    if ctypes.sizeof(ctypes.c_void_p) != 8 or ctypes.sizeof(ctypes.c_long) != 8 or sys.byteorder != "little":
        return "jitcore needs a 64-bit little-endian system whose C long has 64 bits"
    if hasattr(sys, "getobjects"):
        return "this CPython was built with reference tracing, which moves the fields of all objects"
    return None


def check(layout: Layout | None = None) -> str | None:
    """Prove a layout (default: that of the running version) by probes.

    Returns None if every probe agrees, else one sentence that says what is wrong: the kind of interpreter, a
    missing C symbol, or which probe failed at which field. Never raises for a wrong layout.
    """
    layout = layout or LAYOUT
    reason = _refused_kind(layout)
    if reason is not None or layout is None:
        return reason
    for name in SYMBOLS:
        if not has_symbol(name):
            return f"this interpreter does not export the C symbol {name}"
    try:
        prober = Probe(layout, thread_state())
    except OSError as error:
        return f"the self-test could not open a pipe ({error.strerror})"
    try:
        return _run(prober, layout)
    finally:
        prober.close()


def _run(prober: Probe, layout: Layout) -> str | None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    probe_name = "version"
    try:
        if layout.VERSION != tuple(sys.version_info[:2]):
            raise Mismatch("VERSION")
        if layout.FREE_THREADED:
            raise Mismatch("FREE_THREADED")
        if has_symbol("_PyRuntime"):
            probe_name = "_Py_DebugOffsets"
            debug_offsets.compare(prober, layout, symbol("_PyRuntime"), sys.hexversion)
        for probe_name, function in PROBES:
            function(prober)
    except Exception as error:  # a probe that trips over what it read has found something wrong, too
        what = str(error) if isinstance(error, Mismatch) else f"{type(error).__name__}: {error}"
        return f"CPython {version} is laid out differently here: the probe '{probe_name}' failed at {what}"
    return None
