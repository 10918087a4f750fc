"""Reports of compilers for accelerators, which people paste like logs: edgetpu_compiler's, and Vela's summary.

CONV_2D     35     More than one subgraph is not supported        a row of edgetpu_compiler
NPU operators = 39 (100.0%)                                       a line of Vela
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAPPED = "Mapped to Edge TPU"
BEHIND = "More than one subgraph is not supported"
_EDGETPU = re.compile(r"Edge TPU Compiler version (\S+)")
_EDGETPU_ROW = re.compile(r"^([A-Z][A-Z0-9_]+)\s+(\d{1,9})\s+(\S.*?)\s*$", re.MULTILINE)
_EDGETPU_FACT = re.compile(
    r"^(Input model|Input size|Output size|On-chip memory .*|Off-chip memory .*|Number of Edge TPU subgraphs): (.+?)\s*$",
    re.MULTILINE,
)
_TOTAL = re.compile(r"Total number of operations: (\d{1,9})")
_VELA = re.compile(r"Network summary for (.+?)\s*$", re.MULTILINE)
_VELA_OPERATORS = re.compile(r"^(CPU|NPU) operators = (\d{1,9})", re.MULTILINE)
_VELA_FACT = re.compile(
    r"^(Accelerator configuration|System configuration|Memory mode|Total .* used|Neural network macs|NPU cycles|SRAM Access "
    r"cycles|Total cycles|Batch Inference time)\s{2,}(.+?)\s*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class CompiledKind:
    """Operators of a kind, and what the compiler did with them."""

    kind: str
    count: int
    status: str


@dataclass(frozen=True)
class CompilerReport:
    """What a compiler says of a model.

    Attributes:
        compiler: "edgetpu_compiler 16.0…" or "Vela".
        taken: operators that run on the accelerator.
        operators: all operators.
        kinds: what became of them, if the report says so.
        causes: kinds that the accelerator refuses by themselves: what follows them is refused for that alone.
        figures: (label, value) of memory, cycles and time, as printed.
    """

    compiler: str
    taken: int
    operators: int
    kinds: tuple[CompiledKind, ...] = ()
    causes: tuple[CompiledKind, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()


def compiler_report(text: str) -> CompilerReport | None:
    """The report in a text, or None if there is none."""
    if (m := _EDGETPU.search(text)) is not None:
        rows = [CompiledKind(kind, int(count), status) for kind, count, status in _EDGETPU_ROW.findall(text)]
        total = _TOTAL.search(text)
        taken = sum(r.count for r in rows if r.status == MAPPED)
        causes = [r for r in rows if r.status not in (MAPPED, BEHIND)]
        figures = tuple((label, value) for label, value in _EDGETPU_FACT.findall(text))
        every = int(total[1]) if total is not None else sum(r.count for r in rows)
        return CompilerReport(f"edgetpu_compiler {m[1]}", taken, every, tuple(rows), tuple(causes), figures)
    if (m := _VELA.search(text)) is not None:
        counts = {where: int(count) for where, count in _VELA_OPERATORS.findall(text)}
        if not counts:
            return None
        figures = (("Network", m[1]), *_VELA_FACT.findall(text))
        return CompilerReport("Vela", counts.get("NPU", 0), sum(counts.values()), figures=figures)
    return None
