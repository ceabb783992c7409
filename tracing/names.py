"""Names of code outside functions: scripts, class bodies, what `exec` runs.

Such code keeps its variables in a namespace, a dict. Those that it assigns again and again (`CodeInfo.names`) have slots in the
walk's real frame, behind its local variables, and are treated like these: loaded once, numbers kept out of them, written back by
exits. What differs is where a slot is. The dict's table keeps the value of a name in a word at an address that does not change
as long as the table stays (`abi.namespaces`), so that this word takes the place of the slot in the frame.

And others can get at it. Functions that are walked into have these names for their globals and use the same slots. Before
anything that might look at the dict the words are made true (`sync`), and what can run code of any kind makes them unknown
again: the slots are then `InFrame`, to be loaded when they are next asked for, after the check that the table and the name's
place in it are the same.

A region that writes to such words bypasses the dict's watchers. So no other region may take these names for constants
(`Translation.assigns`), and a dict that somebody else watches is left alone.

All other names are constants held by a watch, as globals are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..abi import namespaces
from ..optimizer.ir import State, Value
from ..records import dataclass
from .values import InFrame, Num
from .versions import LAZY_IMPORT

if TYPE_CHECKING:
    from .decode import CodeInfo
    from .translate import Translator


@dataclass
class Names:
    """Where the real frame's names are: a slot -> (name, address of its word). Names that have no value yet have no word."""

    namespace: dict[str, Any]
    table: int
    watchers: int
    words: dict[int, tuple[str, int]]

    def slot_of(self, namespace: object, name: str) -> int:
        """The slot that keeps that name of that namespace; -1 if none does."""
        if namespace is self.namespace:
            for slot, (known, _) in self.words.items():
                if known == name:
                    return slot
        return -1


def find(info: CodeInfo, namespace: object, watcher: int) -> Names | None:
    """The names that the code's frames can keep in slots; None where it has none, or they have to stay in the dict."""
    if not info.names or type(namespace) is not dict:
        return None
    watchers = namespaces.tolerated(watcher)
    table = namespaces.table_of(namespace, watchers)
    if table is None:
        return None
    words = namespaces.words_of(table)
    interned = {name: name for name in namespace}  # the keys themselves: they are compared by identity
    found = {info.nlocalsplus + k: (interned[name], words[name]) for k, name in enumerate(info.names) if name in words}
    return Names(namespace, table, watchers, found)


Place = tuple[int, int, str, int]


def place(namespace: dict[str, Any], name: str, watcher: int) -> Place | None:
    """Where one name of any namespace is: the table, the watchers that are tolerated, the key, the address of the word; None if
    it has no place."""
    watchers = namespaces.tolerated(watcher)
    table = namespaces.table_of(namespace, watchers)
    if table is None or name not in namespace:
        return None
    return table, watchers, next(key for key in namespace if key == name), namespaces.words_of(table)[name]


def check_table(t: Translator, namespace: dict[str, Any], table: int, watchers: int, state: State | None = None) -> None:
    """Leave unless the namespace has the table that its words are in, and nobody else is to be told of stores."""
    same = t.emit("namespace.table_is", t.const_o(namespace), imm=(table, watchers))
    t.emit("guard", same, imm=(True,), state=state or t.state())


def check_own_table(t: Translator, state: State) -> None:
    """The same for the namespace whose names have slots."""
    if t.names is not None:
        check_table(t, t.names.namespace, t.names.table, t.names.watchers, state)


def check_place(t: Translator, key: str, word: int, state: State | None = None) -> None:
    """Leave unless the name's word is the name's, with a value in it."""
    t.emit("guard", t.emit("name.is_at", imm=(key, word)), imm=(True,), state=state or t.state())


def checked_word(t: Translator, namespace: dict[str, Any], found: Place) -> int:
    """The address of a name's word, after both checks of its place."""
    table, watchers, key, word = found
    check_table(t, namespace, table, watchers)
    check_place(t, key, word)
    return word


def check_slot(t: Translator, slot: int, state: State | None = None) -> None:
    """The same for a name that has a slot. Nothing to check of a local variable."""
    if t.names is not None and slot in t.names.words:
        check_place(t, *t.names.words[slot], state)


def check_value(t: Translator, value: Value, state: State | None = None) -> None:
    """Leave where a namespace's value is a lazy import: the interpreter puts the module in its place when it loads the name, and
    pays attention when such a thing is stored."""
    if LAZY_IMPORT is not None:
        t.constants[id(LAZY_IMPORT)] = LAZY_IMPORT
        is_lazy = t.emit("obj.type_is", value, imm=(LAZY_IMPORT,))
        t.emit("guard", is_lazy, imm=(False,), state=state or t.state())


def load(t: Translator, slot: int) -> Value:
    """What a slot of the real frame holds, be it a local variable or a name; borrowed."""
    word = word_of(t, slot)
    return t.emit("name.get", imm=(word,)) if word else t.emit("frame.local", imm=(slot,))


def store(t: Translator, slot: int, value: Value) -> None:
    """Move a reference into a slot of the real frame, whose old value goes, known to be harmless."""
    word = word_of(t, slot)
    if word:
        t.emit("name.put", value, imm=(word,))
        t.assigns.add(slot)
    else:
        t.emit("frame.store_local", value, imm=(slot,))


def clear(t: Translator, slot: int) -> None:
    """Let go of what the slot holds: its value is known otherwise now. A dict must not have NULL for a value."""
    store(t, slot, t.const_o(None) if word_of(t, slot) else t.emit("obj.null"))


def word_of(t: Translator, slot: int) -> int:
    """The address of the word that is the slot; 0 where it is one of the frame's."""
    return t.names.words[slot][1] if t.names is not None and slot in t.names.words else 0


def sync(t: Translator) -> None:
    """Make the words true for whoever looks at the dict. No effect that anybody sees: they are what the program says they are."""
    if t.names is None:
        return
    effect = t.effect
    for slot in t.names.words:
        av = t.frames[0].locals[slot]
        if isinstance(av, Num) and av.dirty:
            store(t, slot, t.owned_value(av.copy()))
            av.dirty = False
    t.effect = effect


def forget(t: Translator) -> None:
    """Any code has run, after the words had been made true: nothing is known about them."""
    if t.names is not None:
        for slot in t.names.words:
            t.frames[0].locals[slot] = InFrame()
