"""python -m jitcore [options] (prog.py | -m module | -c code | -) [arguments]

Runs a program with the JIT on. The program must not be able to tell: `sys.argv`, `__main__`, `sys.path`,
`inspect.stack()`, tracebacks, exit codes, signals, the order of things at shutdown. A command that runs the
program from inside its own module can only imitate that, so this one checks its options and then *becomes*
`python prog.py ...` by exec; the start-up file in site-packages finds the options in a variable and switches
the JIT on (see _startup.py). The price is one more interpreter start, about 15 ms. Options of the interpreter
itself (`python -X dev -m jitcore prog.py`) are kept.
"""

from __future__ import annotations

import os
import sys

from . import __version__, _startup, options

USAGE = """usage: python -m jitcore [options] (prog.py | -m module | -c code | -) [arguments]

Runs a program as python does, with the JIT on.

  -O NAME=VALUE        set an option (see --list-options); may be repeated
  --stats              print a summary to stderr at exit (short for -O stats=1)
  --bisect             find the optimizer pass that makes the program do something else than interpreted
  --list-options       print all options (with --markdown: as docs/options.md) and exit
  --coverage           print which bytecodes are compiled, as docs/coverage.md, and exit
  --version            print the version and exit
  -h, --help           print this and exit
"""


BISECT = "--bisect"


class UsageError(Exception):
    pass


def parse(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """(option texts, with BISECT among them if asked for; what follows them as python takes it). Raises UsageError, OptionError."""
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest[0]
        if word == "-" or not word.startswith("-") or word[:2] in ("-m", "-c"):
            if word in ("-m", "-c") and len(rest) == 1:
                raise UsageError(f"argument expected for {word}")
            return values, rest
        del rest[0]
        if word == "--":
            return values, (["--", *rest] if rest else [])
        if word == "--stats":
            values["stats"] = "1"
        elif word == "--bisect":
            values[BISECT] = "1"
        elif word.startswith("-O"):
            if word == "-O" and not rest:
                raise UsageError("-O needs NAME=VALUE")
            name, value = options.parse_assignment(word[2:] or rest.pop(0))
            values[name] = options.TABLE[name].text(value)
        else:
            known = ["--stats", BISECT, "--list-options", "--markdown", "--coverage", "--version", "--help"]
            hint = options.suggestion(word, known)
            raise UsageError(f"unknown option {word}{hint}; python's own options go before -m jitcore")
    return values, []


def interpreter_options(original: list[str]) -> list[str]:
    """The options before `-m jitcore` in a command line (sys.orig_argv without the program), to be given
    again.

    Raises UsageError when there is no `-m jitcore` (another tool runs this module in its own process).
    """
    kept: list[str] = []
    words = iter(original)
    for word in words:
        if not word.startswith("-") or word in ("-", "--"):
            break
        if word == "--check-hash-based-pycs":
            kept += [word, next(words, "")]
            continue
        if word.startswith("--"):
            kept.append(word)
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter == "m":
                return kept + ([word[:place]] if place > 1 else [])
            if letter in "WX":
                kept.append(word)
                if place == len(word) - 1:
                    kept.append(next(words, ""))
                break
            if letter == "c":
                raise UsageError("start it as: python -m jitcore prog.py")
        else:
            kept.append(word)
    raise UsageError(
        "start it as: python -m jitcore prog.py (other tools cannot run it in their own process)"
    )


def startup_file_runs() -> bool:
    """Whether this interpreter has a site folder with our start-up file in it."""
    if sys.flags.no_site:
        return False
    import site

    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    return any(os.path.isfile(os.path.join(folder, "jitcore_startup.pth")) for folder in folders)


def main() -> int:
    arguments = sys.argv[1:]
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(USAGE, end="", file=sys.stdout if arguments else sys.stderr)
            return 0 if arguments else 2
        if arguments == ["--version"]:
            print(f"jitcore {__version__} (Python {sys.version.split()[0]})")
            return 0
        if arguments[0] == "--list-options" and arguments[1:] in ([], ["--markdown"]):
            print(options.markdown() if arguments[1:] else options.listing() + "\n", end="")
            return 0
        if arguments == ["--coverage"]:
            from .tracing import bytecodes as _handlers  # noqa: F401  (fills the table)
            from .tracing.coverage import markdown

            print(markdown(), end="")
            return 0
        values, command = parse(arguments)
        if not command:
            raise UsageError("which program? give prog.py, -m module, -c code or -")
        flags = interpreter_options(sys.orig_argv[1:])
        options.Options.from_environment()  # the user is here: say now what is wrong
    except (UsageError, options.OptionError) as error:
        print(f"jitcore: {error}", file=sys.stderr)
        return 2
    if not startup_file_runs():
        print(
            "jitcore: jitcore_startup.pth is in no site-packages folder that this Python reads: "
            f"install jitcore with '{sys.executable} -m pip install' and do not use -S",
            file=sys.stderr,
        )
        return 2
    if values.pop(BISECT, ""):
        from .bisection import bisect

        return bisect(flags, values, command)
    os.environ[_startup.VARIABLE] = _startup.pack(os.getpid(), values)
    os.execv(sys.executable, [sys.orig_argv[0], *flags, *command])


if __name__ == "__main__":
    sys.exit(main())
