"""Why something was not compiled: one closed list.

Every place that gives up names a member of `Reason`; there is no free text instead. So refusals can be
counted, tests can ask for one by name, and each has a sentence that tells the user what it means and what can
be done. Details that differ from case to case (which bytecode, which type) travel beside the reason, not in
it.
"""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """A reason of refusal or abort.

    `reason.key` is its stable name, `reason.sentence` what the user reads.
    """

    # The program uses something that is not covered
    UNSUPPORTED_BYTECODE = (
        "This bytecode instruction is not compiled yet; the code around it runs interpreted."
    )
    UNSUPPORTED_OPERAND_TYPES = (
        "An operation met operand types that are not compiled; ints, floats, bools, lists and tuples are."
    )
    UNSUPPORTED_CALL = (
        "A call of this kind (its arguments or its callee) is not compiled; simple positional calls are."
    )
    GENERATOR = "Generators and coroutines have no native entry; loops inside them are compiled, loops over generators walk into them."
    EXCEPTION_HANDLER = (
        "The recording ran into an exception or its handler; the exceptional path stays interpreted."
    )
    OPAQUE_CALL_IN_INLINED = (
        "An inlined function calls code that may look at frames at a place where none can be built; "
        "the call stays in the interpreter."
    )
    NEEDS_FRAME = (
        "Something here needs a frame of the interpreter (a function that no global name holds, a call whose callers have none), "
        "so the function stays one of the interpreter; loops in it are compiled."
    )
    STACK_LAYOUT = "The operand stack holds something here that cannot be rebuilt when native code is left."
    MODULE_LEVEL_NAMES = (
        "Code outside functions deletes names or keeps them in a mapping that is not a plain dict; "
        "put the loop into a function."
    )
    USER_EXCLUDED = "The program or an option excluded this code from compilation."

    # Not worth it
    COLD = "It has not run often enough yet; lower the option threshold to compile earlier."
    NOT_PROFITABLE = (
        "Native code saved nothing here (too little work between entry and exit), so it was taken out again."
    )
    CALL_BOUND = "The function mostly calls other code, which native code cannot make faster; it stays interpreted."

    # Limits
    TRACE_TOO_LONG = (
        "The recording grew longer than the option trace_limit; smaller loops inside it are compiled alone."
    )
    REGION_TOO_LARGE = "The region grew beyond the option max_region_ops; what was compiled so far stays."
    TOO_MANY_VERSIONS = (
        "More combinations of types came by than the option max_versions allows; "
        "use fewer types at one place, or raise it."
    )
    INLINE_LIMIT = (
        "A call was not inlined: too deep or too large (options max_inline_depth, max_inline_size)."
    )
    DEEP_RECURSION = "The stack was nearly used up, so deeper levels run in the interpreter."
    INVALIDATED_TOO_OFTEN = (
        "Global names, classes or functions that native code relied on changed again and again; "
        "keep values that change in locals or attributes."
    )
    MISMATCH_TOO_OFTEN = (
        "Values of other types than compiled for arrived again and again; jitcore stopped trying here."
    )
    RECORDING_LOST = (
        "The recorder lost track of the execution (another thread, a signal handler or a tool came between)."
    )

    # The surroundings
    TOOL_CONFLICT = (
        "Another tool uses the interpreter's instruction events or the optimizer slot of sys.monitoring; "
        "end that tool to compile."
    )
    TRACING_ACTIVE = (
        "A debugger, profiler or coverage tool watches this code, so it stays interpreted for it to see."
    )
    UNKNOWN_INTERPRETER = (
        "This interpreter is laid out in a way jitcore does not know; "
        "it needs stock CPython 3.12 to 3.15 on 64-bit Linux."
    )
    FREE_THREADED = "jitcore does not work on free-threaded builds of CPython; use the standard build."
    SUBINTERPRETER = "jitcore works in the main interpreter only; code in subinterpreters runs interpreted."
    LLVMLITE_MISSING = "The package llvmlite is missing or broken; reinstall it with 'pip install llvmlite'."
    LLVM_ERROR = "LLVM refused the code or failed; please report it with the output of jitcore.explain()."
    OUT_OF_MEMORY = "There was not enough memory to compile; the code runs interpreted."
    INTERNAL_ERROR = (
        "jitcore itself failed while recording or compiling; please report it (JITCORE_LOG=debug says where)."
    )

    @property
    def key(self) -> str:
        """The stable name, such as 'trace_too_long'."""
        return self.name.lower()

    @property
    def sentence(self) -> str:
        return self.value

    @classmethod
    def from_key(cls, key: str) -> Reason:
        """The reason of that key. Raises KeyError."""
        return cls[key.upper()]
