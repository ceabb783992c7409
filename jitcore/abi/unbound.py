"""The object that native code keeps where a local variable may have none.

A local that one way has bound and another has not is a reference in either case: to what it is bound to, or to this. So it is
counted, passed on and let go of like any other, and only those who look at the local, and exits, which leave it empty, tell the two
apart. The object is made as immortal as None: counting it is nothing, and its end is never asked for.
"""

from __future__ import annotations

from . import memory

UNBOUND = object()
"""No program ever gets hold of it."""

if memory.LAYOUT is not None:
    # The lower half of the count says that it is not counted.
    memory.write32(id(UNBOUND) + memory.LAYOUT.OB_REFCNT, memory.read32(id(None) + memory.LAYOUT.OB_REFCNT))
