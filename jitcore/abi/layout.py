"""Where CPython keeps things: one table of byte offsets, one row per version.

Native code and the exit interpreter read and write the insides of a running interpreter: frames, thread
state, code objects, ints, lists. None of that is a promise of CPython, and it differs between minor versions.
So every number the rest of jitcore needs stands here, under one name, and nothing outside this folder looks
at the version or writes an offset down a second time.

The table is only a claim. Patch releases, build options and vendors' patches can make it wrong, and a wrong
offset does not raise, it corrupts. `selftest.check` therefore proves each number against things that Python
itself can see before anything is compiled, and jitcore stays off where a probe fails. Deriving the numbers at
run time (from `_Py_DebugOffsets`) was the alternative; that table exists from 3.13 on only and lacks half of
what is needed here, so it serves the self-test as a second witness instead.

All offsets are bytes from the start of the structure in the name's prefix:

    FRAME_      _PyInterpreterFrame (not the frame object)     TS_       PyThreadState
    FRAMEOBJ_   PyFrameObject, what Python calls a frame       GEN_      generator and coroutine objects
    CODE_       code objects                                   FUNC_     Python functions
    OB_         the head of every object                       TYPE_     type objects
    CHUNK_      a chunk of the thread's data stack             others    the object of that name

Sizes: FRAME_RETURN_OFFSET is a u16, FRAME_OWNER a u8, FRAME_SP an i32 count of slots on 3.12 and 3.13 and a
pointer later. 32 bits wide are the numbers in code objects (counts, sizes, flags, version), TS_TRACING, the
recursion counters, FUNC_VERSION, TYPE_VERSION_TAG and ZIP_STRICT. All else is a word of 8 bytes.
"""

from __future__ import annotations

from ..records import dataclass

VERSIONS = ((3, 12), (3, 13), (3, 14), (3, 15))


class AbiError(RuntimeError):
    """This interpreter does not have what was asked for (an unknown version, a missing C symbol)."""


@dataclass(frozen=True)
class Layout:
    """Offsets and conventions of one CPython version; the defaults are what all known versions share."""

    VERSION: tuple[int, int]

    # Stack frames
    FRAME_SP: int  # 3.12, 3.13: number of slots in use (i32); later: address of the first free slot
    FRAME_RETURN_OFFSET: int
    FRAME_OWNER: int
    FRAME_LOCALSPLUS: int
    FRAME_SPECIALS_WORDS: int  # words of a frame before its locals; code's framesize counts them

    # Thread state
    TS_CFRAME_INDIRECT: bool  # 3.12: word TS_CURRENT_FRAME points to a struct whose first word is the frame
    TS_CURRENT_FRAME: int
    TS_TRACING: int
    TS_EXC_INFO: int
    TS_DATASTACK_CHUNK: int
    TS_DATASTACK_TOP: int
    TS_DATASTACK_LIMIT: int
    TS_PY_RECURSION_REMAINING: int
    TS_PY_RECURSION_LIMIT: int
    TS_C_RECURSION: int  # units left for C recursion (i32); 0: this version checks the stack pointer
    TS_C_STACK_SOFT_LIMIT: int  # lowest stack address C code should use; 0: none

    # The eval breaker: test (i32 at the offset) & mask != 0
    EVAL_BREAKER_IN_INTERP: bool  # the offset counts from the interpreter state, not from the thread state
    EVAL_BREAKER_OFFSET: int
    EVAL_BREAKER_MASK: int

    # Code objects
    CODE_BYTES: int
    CODE_MONITORING: int  # pointer to the code's monitoring data; NULL where it never had events
    MONITORS_ACTIVE: int  # in those data: a byte of tool bits for each local event, of what is active now
    CODE_INSTRUMENTATION_VERSION: int  # word; stale if not the eval breaker's upper bits (3.12: not the interpreter's own)

    # Functions
    FUNC_VECTORCALL: int
    FUNC_VERSION: int

    # Objects
    TYPE_CACHED_KEYS: int  # of classes made by Python code: the names of their instances' inline values; may be NULL
    VALUES_IN_OBJECT: bool  # inline values begin where the instance's fields end (3.12: DICT_WORD leads to them)
    VALUES_VALID: int  # a byte, odd while the values are here and not in a dict (3.12: of the instance)
    VALUES_ITEMS: int  # the places
    VALUES_COUNT: int  # how many have a value (a byte)
    VALUES_CAPACITY: int  # 3.13+: how many there are (a byte). Behind them it is said in which order they got their values;
    # on 3.12 that is said, backwards, before the count
    TUPLE_ITEMS: int
    SMALL_INT_MAX: int
    INT_IMMORTAL_BIT: int  # set in the tag word of cached small ints; 0: no such bit

    # Conventions
    LOCALS_PROXY: bool  # writing to a frame's f_locals assigns its slots (3.13+)
    TAGGED: bool  # locals and stack hold tagged references (3.14+)
    NULL_SLOT: int  # the bits of an empty slot
    SP_IS_POINTER: bool
    OWN_FRAME_IP_ADJUST: int  # added to the next instruction's address in a frame given to the evaluator
    REFCNT_BITS: int  # how much of word 0 is the reference count when testing it for 1
    FOR_ITER_PAIR: bool  # 3.15: for-loops keep [iterable, index or NULL] on the stack
    GEN_SUSPENDED: int  # the state of a generator that waits behind a yield,
    GEN_EXECUTING: int  # and of one that runs

    # The same everywhere
    FRAME_CODE: int = 0
    FRAME_PREVIOUS: int = 8
    FRAME_FUNC: int = 16
    FRAME_GLOBALS: int = 24
    FRAME_BUILTINS: int = 32
    FRAME_LOCALS: int = 40
    FRAME_OBJ: int = 48
    FRAME_IP: int = 56
    OWNER_THREAD: int = 0
    OWNER_GENERATOR: int = 1
    OWNER_FRAME_OBJECT: int = 2
    OWNER_C: int = 3  # the frame between C code and the Python frames it called

    FRAMEOBJ_FRAME: int = 24
    GEN_EXC: int = 40  # what TS_EXC_INFO points to while the generator runs
    GEN_STATE: int = 67  # a byte
    GEN_FRAME: int = 72  # the frame lies inside the generator: its address, not a pointer to it

    TS_INTERP: int = 16
    EXC_INFO_VALUE: int = 0  # in the struct that TS_EXC_INFO points to: the exception being handled, or 0
    EXC_INFO_PREVIOUS: int = 8
    CHUNK_PREVIOUS: int = 0
    CHUNK_SIZE: int = 8  # bytes, all of it
    CHUNK_TOP: int = 16  # words in use, valid while the chunk is not the newest
    CHUNK_DATA: int = 24

    CODE_CONSTS: int = 24
    CODE_NAMES: int = 32
    CODE_EXCEPTION_TABLE: int = 40
    CODE_FLAGS: int = 48
    CODE_ARGCOUNT: int = 52
    CODE_STACKSIZE: int = 64
    CODE_NLOCALSPLUS: int = 72
    CODE_FRAMESIZE: int = 76
    CODE_NLOCALS: int = 80
    CODE_NCELLVARS: int = 84
    CODE_NFREEVARS: int = 88
    CODE_VERSION: int = 92

    FUNC_GLOBALS: int = 16
    FUNC_BUILTINS: int = 24
    FUNC_NAME: int = 32
    FUNC_QUALNAME: int = 40
    FUNC_CODE: int = 48
    FUNC_DEFAULTS: int = 56
    FUNC_KWDEFAULTS: int = 64
    FUNC_CLOSURE: int = 72
    FUNC_DOC: int = 80
    FUNC_DICT: int = 88

    OB_REFCNT: int = 0
    OB_TYPE: int = 8
    OB_SIZE: int = 16
    TYPE_NAME: int = 24
    TYPE_BASICSIZE: int = 32
    TYPE_FLAGS: int = 168
    TYPE_DICTOFFSET: int = 288
    TYPE_VERSION_TAG: int = 384

    TYPE_NEW: int = 312
    TYPE_DEALLOC: int = 48
    TYPE_BASE: int = 256
    TYPE_FINALIZE: int = 392
    TYPE_HASH: int = 120
    TYPE_COMPARE: int = 200
    TYPE_GETATTRO: int = 144
    TYPE_DESCR_GET: int = 272
    TYPE_DESCR_SET: int = 280
    DICT_WORD: int = -24  # of instances: their dict or NULL; on 3.12, if it is odd, one less than the address of their values
    WEAKREFS_WORD: int = -32  # of instances: the first weak reference to them, or NULL
    KEYS_SIZE_BITS: int = 8  # of dict keys: the logarithm of the number of indices (a byte)
    KEYS_INDEX_BITS: int = 9  # of dict keys: the logarithm of the size in bytes of the indices (a byte)
    KEYS_KIND: int = 10  # a byte
    KEYS_GENERAL: int = 0  # the kind of keys that are not all str
    KEYS_STR: int = 1  # the kind of keys that are all str
    DICT_USED: int = 16  # of dicts: how many items they have
    DICT_KEYS: int = 32  # of dicts: their keys
    DICT_VALUES: int = 40  # of dicts: with shared keys, where their values are (what instances have as inline values)
    DICT_WATCHERS: int = 24  # a byte: a bit for each watcher
    COLLECTION_ASKED: int = 0  # the bit of the eval breaker that asks for a garbage collection, where that has one of its own
    INTERP_MONITORING_VERSION: int = 0  # of interpreter states, 3.12: what the version of code is compared with
    INTERP_MONITORS: int = 0  # of interpreter states: a byte of tool bits for each event, of what is watched everywhere (builds may differ)
    LAZY_IMPORTS_WATCHER: int = 0  # the bit of the interpreter's own, which looks for lazy imports in namespaces
    SET_USED: int = 24  # of sets: how many items they have
    SET_MASK: int = 32  # of sets: the number of entries less one
    SET_TABLE: int = 40  # of sets: the entries, each a reference and its hash
    KEYS_SPLIT: int = 2  # the kind of the names of inline values
    KEYS_COUNT: int = 24
    KEYS_INDICES: int = 32  # behind them, for each name, a pointer to it and one to its value (not used where values are inline)
    MEMBER_DEF: int = 40  # of member descriptors: what they describe
    MEMBERDEF_TYPE: int = 8  # an i32
    MEMBERDEF_OFFSET: int = 16
    MEMBERDEF_FLAGS: int = 24  # an i32
    MEMBER_OBJECT: int = 16  # a reference, NULL where there is no value

    INT_TAG: int = 16
    INT_DIGITS: int = 24
    INT_DIGIT_BITS: int = 30
    SMALL_INT_MIN: int = -5
    SMALL_INT_BYTES: int = 32  # from one of the small ints to the next
    FLOAT_VALUE: int = 16
    LIST_ITEMS: int = 24
    LIST_ALLOCATED: int = 32
    CELL_REF: int = 16
    WRAPPER_FUNC: int = 16  # of static and class methods; of a property its getter
    METHOD_FUNC: int = 16
    METHOD_SELF: int = 24
    METHOD_WEAKREFS: int = 32
    CFUNCTION_METHOD: int = 16  # of functions written in C: what is called; the method of C that it was had from has the same
    DESCRIPTOR_TYPE: int = 16  # of slots and methods of C: the class that they belong to
    DESCRIPTOR_METHOD: int = 40
    CFUNCTION_WEAKREFS: int = 40
    CFUNCTION_SELF: int = 24  # the object or module they belong to
    CFUNCTION_MODULE: int = 32  # the name of their module, or NULL
    STR_LENGTH: int = 16
    STR_HASH: int = 24
    RANGE_START: int = 16  # of range objects: int objects
    RANGE_STOP: int = 24
    RANGE_STEP: int = 32
    RANGE_LENGTH: int = 40
    RANGEITER_START: int = 16  # of range iterators: C longs
    RANGEITER_STEP: int = 24
    RANGEITER_LEN: int = 32
    LISTITER_INDEX: int = 16
    LISTITER_SEQ: int = 24
    TUPLEITER_INDEX: int = 16
    TUPLEITER_SEQ: int = 24
    DICTITER_DICT: int = 16  # of the iterators of a dict's keys, values and items, both ways
    DICTITER_PAIR: int = 40  # of those of items: the tuple they use again
    SETITER_SET: int = 16
    ENUM_COUNT: int = 16
    ENUM_INNER: int = 24
    ZIP_COUNT: int = 16  # how many iterators a zip has
    ZIP_INNER: int = 24  # the tuple of them
    ZIP_STRICT: int = 40  # an i32

    FREE_THREADED: bool = False  # such builds are laid out differently and refused


_ROWS: dict[tuple[int, int], Layout] = {
    (3, 12): Layout(
        VERSION=(3, 12),
        FRAME_SP=64,
        FRAME_RETURN_OFFSET=68,
        FRAME_OWNER=70,
        FRAME_LOCALSPLUS=72,
        FRAME_SPECIALS_WORDS=9,
        TS_CFRAME_INDIRECT=True,
        TS_CURRENT_FRAME=56,
        TS_TRACING=44,
        TS_EXC_INFO=104,
        TS_DATASTACK_CHUNK=232,
        TS_DATASTACK_TOP=240,
        TS_DATASTACK_LIMIT=248,
        TS_PY_RECURSION_REMAINING=28,
        TS_PY_RECURSION_LIMIT=32,
        TS_C_RECURSION=36,
        TS_C_STACK_SOFT_LIMIT=0,
        EVAL_BREAKER_IN_INTERP=True,
        EVAL_BREAKER_OFFSET=0x170,
        EVAL_BREAKER_MASK=0xFFFFFFFF,
        CODE_BYTES=192,
        CODE_MONITORING=168,
        MONITORS_ACTIVE=15,
        CODE_INSTRUMENTATION_VERSION=160,
        INTERP_MONITORING_VERSION=48,
        INTERP_MONITORS=381744,
        FUNC_VECTORCALL=128,
        FUNC_VERSION=136,
        TYPE_CACHED_KEYS=880,
        VALUES_IN_OBJECT=False,
        VALUES_VALID=-24,
        VALUES_ITEMS=0,
        VALUES_COUNT=-2,
        VALUES_CAPACITY=0,
        TUPLE_ITEMS=24,
        SMALL_INT_MAX=256,
        INT_IMMORTAL_BIT=0,
        LOCALS_PROXY=False,
        TAGGED=False,
        NULL_SLOT=0,
        SP_IS_POINTER=False,
        OWN_FRAME_IP_ADJUST=-2,
        REFCNT_BITS=64,
        FOR_ITER_PAIR=False,
        GEN_SUSPENDED=0xFF,
        GEN_EXECUTING=0,
    ),
    (3, 13): Layout(
        VERSION=(3, 13),
        FRAME_SP=64,
        FRAME_RETURN_OFFSET=68,
        FRAME_OWNER=70,
        FRAME_LOCALSPLUS=72,
        FRAME_SPECIALS_WORDS=9,
        TS_CFRAME_INDIRECT=False,
        TS_CURRENT_FRAME=72,
        TS_TRACING=60,
        TS_EXC_INFO=120,
        TS_DATASTACK_CHUNK=232,
        TS_DATASTACK_TOP=240,
        TS_DATASTACK_LIMIT=248,
        TS_PY_RECURSION_REMAINING=44,
        TS_PY_RECURSION_LIMIT=48,
        TS_C_RECURSION=52,
        TS_C_STACK_SOFT_LIMIT=0,
        EVAL_BREAKER_IN_INTERP=False,
        EVAL_BREAKER_OFFSET=24,
        EVAL_BREAKER_MASK=0xFF,
        COLLECTION_ASKED=16,
        INTERP_MONITORS=193136,
        CODE_BYTES=200,
        CODE_MONITORING=176,
        MONITORS_ACTIVE=10,
        CODE_INSTRUMENTATION_VERSION=168,
        FUNC_VECTORCALL=128,
        FUNC_VERSION=136,
        TYPE_CACHED_KEYS=880,
        VALUES_IN_OBJECT=True,
        VALUES_VALID=3,
        VALUES_ITEMS=8,
        VALUES_COUNT=1,
        VALUES_CAPACITY=0,
        TUPLE_ITEMS=24,
        SMALL_INT_MAX=256,
        INT_IMMORTAL_BIT=0,
        LOCALS_PROXY=True,
        TAGGED=False,
        NULL_SLOT=0,
        SP_IS_POINTER=False,
        OWN_FRAME_IP_ADJUST=0,
        REFCNT_BITS=64,
        FOR_ITER_PAIR=False,
        GEN_SUSPENDED=0xFE,
        GEN_EXECUTING=0,
    ),
    (3, 14): Layout(
        VERSION=(3, 14),
        FRAME_SP=64,
        FRAME_RETURN_OFFSET=72,
        FRAME_OWNER=74,
        FRAME_LOCALSPLUS=80,
        FRAME_SPECIALS_WORDS=10,
        TS_CFRAME_INDIRECT=False,
        TS_CURRENT_FRAME=72,
        TS_TRACING=60,
        TS_EXC_INFO=120,
        TS_DATASTACK_CHUNK=232,
        TS_DATASTACK_TOP=240,
        TS_DATASTACK_LIMIT=248,
        TS_PY_RECURSION_REMAINING=48,
        TS_PY_RECURSION_LIMIT=52,
        TS_C_RECURSION=0,
        TS_C_STACK_SOFT_LIMIT=848,
        EVAL_BREAKER_IN_INTERP=False,
        EVAL_BREAKER_OFFSET=24,
        EVAL_BREAKER_MASK=0xFF,
        COLLECTION_ASKED=16,
        INTERP_MONITORS=223240,
        CODE_BYTES=208,
        CODE_MONITORING=176,
        MONITORS_ACTIVE=11,
        CODE_INSTRUMENTATION_VERSION=168,
        FUNC_VECTORCALL=136,
        FUNC_VERSION=144,
        TYPE_CACHED_KEYS=880,
        VALUES_IN_OBJECT=True,
        VALUES_VALID=3,
        VALUES_ITEMS=8,
        VALUES_COUNT=1,
        VALUES_CAPACITY=0,
        TUPLE_ITEMS=32,  # after the cached hash
        SMALL_INT_MAX=256,
        INT_IMMORTAL_BIT=4,
        LOCALS_PROXY=True,
        TAGGED=True,
        NULL_SLOT=1,
        SP_IS_POINTER=True,
        OWN_FRAME_IP_ADJUST=0,
        REFCNT_BITS=32,
        FOR_ITER_PAIR=False,
        GEN_SUSPENDED=0xFE,
        GEN_EXECUTING=0,
    ),
    (3, 15): Layout(
        VERSION=(3, 15),
        FRAME_SP=64,
        FRAME_RETURN_OFFSET=72,
        FRAME_OWNER=74,
        FRAME_LOCALSPLUS=80,
        FRAME_SPECIALS_WORDS=10,
        TS_CFRAME_INDIRECT=False,
        TS_CURRENT_FRAME=72,
        TS_TRACING=64,
        TS_EXC_INFO=144,
        TS_DATASTACK_CHUNK=256,
        TS_DATASTACK_TOP=264,
        TS_DATASTACK_LIMIT=272,
        TS_PY_RECURSION_REMAINING=52,
        TS_PY_RECURSION_LIMIT=56,
        TS_C_RECURSION=0,
        TS_C_STACK_SOFT_LIMIT=992,
        EVAL_BREAKER_IN_INTERP=False,
        LAZY_IMPORTS_WATCHER=4,
        EVAL_BREAKER_OFFSET=24,
        EVAL_BREAKER_MASK=0xFF,
        COLLECTION_ASKED=16,
        INTERP_MONITORS=223512,
        CODE_BYTES=208,
        CODE_MONITORING=176,
        MONITORS_ACTIVE=16,
        CODE_INSTRUMENTATION_VERSION=168,
        FUNC_VECTORCALL=136,
        FUNC_VERSION=144,
        TYPE_CACHED_KEYS=888,
        VALUES_IN_OBJECT=True,
        VALUES_VALID=3,
        VALUES_ITEMS=8,
        VALUES_COUNT=1,
        VALUES_CAPACITY=0,
        TUPLE_ITEMS=32,
        SMALL_INT_MAX=1024,
        INT_IMMORTAL_BIT=4,
        LOCALS_PROXY=True,
        TAGGED=True,
        NULL_SLOT=1,
        SP_IS_POINTER=True,
        OWN_FRAME_IP_ADJUST=0,
        REFCNT_BITS=32,
        FOR_ITER_PAIR=True,
        GEN_SUSPENDED=1,
        GEN_EXECUTING=4,
    ),
}


def for_version(version: tuple[int, ...]) -> Layout:
    """The layout of a CPython version such as (3, 13) or sys.version_info. Raises AbiError for others."""
    row = _ROWS.get((version[0], version[1]))
    if row is None:
        raise AbiError(f"CPython {version[0]}.{version[1]} is not known to jitcore")
    return row
