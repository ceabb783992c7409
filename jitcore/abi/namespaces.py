"""Namespaces: where the dict of a module keeps the value of a name.

A dict whose keys are all str has a table of them with, for each, the key and the value. A name keeps its place as long as the
dict keeps its table, which it changes only to grow, so the value is a word at an address. `is_table` and `is_entry` are what
has to hold for that to be so (still): asked together they mean that a lookup of the name in the dict finds that word.

Who writes such a word must do what the dict would do: leave the number of its entries as it is (no NULL in, none out), and not
bypass anybody who watches the dict.
"""

from __future__ import annotations

import gc

from .memory import known, object_at, read8, read64

KEY = -8
"""Offset of an entry's key from its value."""


def tolerated(watcher: int) -> int:
    """The watchers (a bit for each) that need not be told: ours, of that number, and the interpreter's that looks for lazy
    imports (which are no business of native code)."""
    return (1 << watcher if watcher >= 0 else 0) | known().LAZY_IMPORTS_WATCHER


def table_of(namespace: dict[str, object], watchers: int) -> int | None:
    """Address of the table, or None where names have no place of their own: some key is no str, the values are an instance's, or
    somebody watches the dict other than these watchers (a bit for each). (The garbage collector has to know the dict already, as it
    does of any module: who writes to it does not tell.)"""
    layout = known()
    if type(namespace) is not dict or not gc.is_tracked(namespace.get("__builtins__")):
        return None
    table = read64(id(namespace) + layout.DICT_KEYS)
    if read8(table + layout.KEYS_KIND) != layout.KEYS_STR or not is_table(id(namespace), table, watchers):
        return None
    return table


def words_of(table: int) -> dict[str, int]:
    """The names of a table with the addresses of their values."""
    layout = known()
    entries = table + layout.KEYS_INDICES + (1 << read8(table + layout.KEYS_INDEX_BITS))
    words = (entries + 16 * k - KEY for k in range(read64(table + layout.KEYS_COUNT)))
    return {str(object_at(read64(word + KEY))): word for word in words if read64(word)}


def is_table(namespace: int, table: int, watchers: int) -> bool:
    """Whether the dict at an address has that table, and no watchers but these."""
    layout = known()
    others = read8(namespace + layout.DICT_WATCHERS) & ~watchers
    return bool(read64(namespace + layout.DICT_KEYS) == table and not others)


def is_entry(word: int, name: str) -> bool:
    """Whether a word of a dict's table is the value of that very name, and there is one."""
    return bool(read64(word + KEY) == id(name) and read64(word))


__all__ = ["KEY", "is_entry", "is_table", "table_of", "words_of"]
