"""What jitcore made of a function, as text: recordings, SSA before and after the passes, LLVM IR, assembly.

The texts are made anew from the stored observations (SSA is never kept), for the host or for any target triple that
LLVM knows. A function that was never hot has nothing to show but its refusals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .records import dataclass, field

if TYPE_CHECKING:
    from .engine import Engine
    from .regions import LoopSite


@dataclass
class RegionText:
    """One region: its place and the stages of its compilation."""

    name: str
    recording: str
    before: str
    after: str
    llvm_ir: str
    assembly: str

    def __str__(self) -> str:
        parts = [f"== {self.name}", self.recording]
        for title, text in (
            ("SSA before the passes", self.before),
            ("SSA after the passes", self.after),
            ("LLVM IR", self.llvm_ir),
            ("assembly", self.assembly),
        ):
            parts.append(f"-- {title}\n{text}")
        return "\n".join(parts)


@dataclass
class Explanation:
    """All regions of a function and what was refused in it, by place."""

    function: str
    regions: list[RegionText] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.function}: {len(self.regions)} regions"]
        lines += [str(r) for r in self.regions]
        if self.refusals:
            lines.append("-- left to the interpreter")
            lines += [f"{place}: {why}" for place, why in sorted(self.refusals.items())]
        return "\n".join(lines)


def explain(engine: Engine, func: Any, triple: str = "", opt: str = "full") -> Explanation:
    """The regions of `func`. `triple`: a target triple such as 'aarch64-linux-gnu' ('' is the host). Raises ValueError for
    a triple LLVM does not know."""
    func = getattr(func, "__func__", func)
    code = func.__code__
    made = Explanation(code.co_qualname)
    prefix = f"{code.co_qualname}:"
    made.refusals = {k: v for k, v in engine.refused_places.items() if k.startswith(prefix)}
    for site in list(engine.sites.values()):  # what runs here may get hot itself
        if site.code is code and engine.compiler is not None:
            made.regions += [one(engine, site, region, triple, opt) for region in site.regions]
    return made


def one(engine: Engine, site: LoopSite, region: Any, triple: str, opt: str) -> RegionText:
    from .backends.llvm.jit import assembly, optimized_ir
    from .backends.llvm.lower import LowerOptions, lower
    from .optimizer.text import show
    from .tracing.entry import door_graph

    assert engine.compiler is not None
    translation = engine.compiler.translate(region.made_for)
    before = show(translation.graph)
    engine.compiler.optimise(translation.graph)
    after = show(translation.graph)
    graph, direct = translation.graph, None
    if translation.target is not None:
        graph, direct = door_graph(translation.target), graph
    options = LowerOptions(triple=triple)
    lowered = lower(graph, "region", lambda state: 0, valid=region.flag_address, options=options, direct=direct)
    ir_text = optimized_ir(lowered.ir_text, opt, triple)
    return RegionText(
        site.name,
        engine.profiles.of(site.code).dump(),
        before,
        after,
        ir_text,
        assembly(lowered.ir_text, triple=triple, opt=opt),
    )
