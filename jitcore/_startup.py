"""What a process with JITCORE=1 runs before its program (from the .pth file in site-packages).

Also the second half of `python -m jitcore`: that command becomes `python prog.py` by exec, with its options
in the variable JITCORE_COMMAND. The variable is marked with the process id (exec keeps it) and removed here,
so neither the program nor its child processes see it.

Nothing that goes wrong here may stop or change the program: one line on stderr, and on it goes.
KeyboardInterrupt and SystemExit are not caught: they are the user's.
"""

from __future__ import annotations

import os

VARIABLE = "JITCORE_COMMAND"


def pack(pid: int, values: dict[str, str]) -> str:
    """The text of the variable: process id, then name=value lines."""
    return "\n".join([str(pid), *(f"{name}={value}" for name, value in values.items())])


def unpack(text: str, pid: int) -> dict[str, str] | None:
    """The values, or None where the text was meant for another process."""
    first, *lines = text.split("\n")
    if first != str(pid):
        return None
    return dict(line.split("=", 1) for line in lines)


def start() -> None:
    from . import log

    try:
        command = os.environ.pop(VARIABLE, None)
        values = unpack(command, os.getpid()) if command is not None else None
        if values is not None:
            from . import options

            options.set_command_line(values)
        elif os.environ.get("JITCORE", "0") in ("", "0"):
            return
        from . import start_soon

        start_soon()
    except Exception as error:
        what = str(error) if type(error).__name__ == "OptionError" else f"{type(error).__name__}: {error}"
        log.say(f"not started: {what}; the program runs interpreted")


start()
