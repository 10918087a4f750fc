"""What a finding is, what a rule is, and what rules are told about the model they look at.

A rule is a module of its own: its text is its manual page (`fullint explain NAME`), its `RULE` says the
rest. Rules look and never touch; what they find is a value that `repair` can act on.

    scope      looks at                                      how many rules may find something
    FLOAT      operators that compute on floats               one: the first cause in `rules.RULES`
    BORDER     QUANTIZE and DEQUANTIZE that touch floats      one
    INTEGER    operators without a float operand              any number
    END        inputs and outputs of graphs                   any number
    EVERY      operators, whatever they compute on            any number
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fullint.model.ir import Buffer, Graph, Model, Op, Quant, Tensor, Uses
from fullint.model.numerics import bias_scales
from fullint.model.weights import PerAxis, PerTensor, WeightSpec
from fullint.ops import ROWS, OpRow
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.macs import macs
from fullint.ops.operands import plain
from fullint.verification.operator_checks import Breach

LEVELS = ("note", "warning", "error")


class Scope(Enum):
    """What a rule looks at."""

    FLOAT = "float"
    BORDER = "border"
    INTEGER = "integer"
    END = "end"
    EVERY = "every"


class Mend(Enum):
    """How `repair` fixes what a rule finds."""

    QUANTIZE = "quantize"  # the float operator becomes integer
    LIFT = "lift"  # the integer operator is read as what it means, in float, and becomes integer again
    CANCEL = "cancel"  # the conversion is taken out
    ENDS = "ends"  # inputs and outputs become integer
    STAMP = "stamp"  # the version is put right
    SHAPE = "shape"  # open dimensions are fixed
    FOLLOW = "follow"  # it goes when its neighbours are mended
    NONE = "none"


@dataclass(frozen=True)
class Found:
    """What a rule has to say about one operator or tensor.

    Attributes:
        cause: a sentence without a full stop, with the names that matter.
        fix: what mends it, as an instruction.
        evidence: the numbers behind the cause, as JSON takes them.
        level, mend: where they differ from the rule's.
    """

    cause: str
    fix: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    level: str | None = None
    mend: Mend | None = None

    @classmethod
    def of(cls, breach: Breach, fix: str, level: str | None = None, mend: Mend | None = None) -> Found:
        """What the contract has found, with its remedy."""
        return cls(breach.text, fix, breach.evidence, level, mend)


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: its code.
        level: "error": not integer, or wrong; "warning": it will hurt; "note": worth knowing.
        scopes: what it looks at.
        mend: how `repair` fixes it.
        safe: whether the fix leaves what the model computes as it is, but for rounding.
        find: what it has to say about an operator.
        find_end: the same for an input or output of a graph that is entered from outside.
        page: the manual page.
        right: whether what it finds in an integer operator computes what the file says all the same.
    """

    name: str
    level: str
    scopes: tuple[Scope, ...]
    mend: Mend
    safe: bool
    page: str | None
    find: Callable[[Op, Facts], Found | None] = lambda op, facts: None
    find_end: Callable[[Tensor, Graph, Facts], Found | None] = lambda tensor, graph, facts: None
    right: bool = False

    @property
    def summary(self) -> str:
        """The first line of its page, without the name."""
        return (self.page or "").strip().splitlines()[0].partition(": ")[2]


class Facts:
    """A model, and what rules ask about it again and again."""

    def __init__(self, model: Model, runtime: tuple[int, ...] | None = None) -> None:
        self.model, self.runtime = model, runtime
        self.uses = Uses(*model.graphs)
        self.place = {op: (number, graph) for number, graph in enumerate(model.graphs) for op in graph.ops}
        self.holders: dict[Buffer, list[tuple[Op, int]]] = {}
        """Who reads each constant, by its bytes."""
        for op in self.place:
            for i, t in enumerate(op.inputs):
                if t is not None and t.buffer is not None:
                    self.holders.setdefault(t.buffer, []).append((op, i))
        self.quantized = any(codes(t) and not t.is_constant for op in self.place for t in op.outputs)
        """Whether any operator computes on integers with scales: the model went through a quantizer."""
        self.per_tensor = not any(t.quant is not None and t.quant.per_channel for op in self.place for t in op.operands())
        """Whether all weights of the file have one scale each."""
        self.maker = _maker(model)
        self.reasons: dict[Op, str | None] = {}
        """Rules that explain operators by themselves, once somebody has asked."""
        self.callers = {g: op for op in self.place for g in op.subgraphs()}
        self.total_macs = sum(macs(op) for op in self.place)

    def params(self, t: Tensor) -> Quant | None:
        """Parameters the file knows for a float activation: of the DEQUANTIZE that makes it or a QUANTIZE that reads it."""
        made = self.uses.producer.get(t)
        if made is not None and made.kind == "DEQUANTIZE" and (q := plain(made.inputs[0])) is not None:
            return q
        return next((q for op, _ in self.uses.of(t) if op.kind == "QUANTIZE" and (q := plain(op.outputs[0])) is not None), None)

    def float_neighbours(self, op: Op) -> list[Op]:
        """Operators that compute in float and hand it values, or read what it makes."""
        near = [p for t in activations(op) if (p := self.uses.producer.get(t)) is not None]
        near += [reader for t in op.outputs if t.is_float for reader, _ in self.uses.of(t)]
        return [n for n in dict.fromkeys(near) if n is not op and n.kind not in CONVERSIONS]

    def bias_scale(self, op: Op) -> Quant | None:
        """s_in * s_w, the parameters a bias would need, if its data has parameters."""
        row = ROWS.get(op.kind)
        x, w = (op.input(row.data), op.input(row.weight or 0)) if row and row.bias is not None else (None, None)
        if row is None or x is None or w is None:
            return None
        given = self.params(x) if x.is_float else plain(x)
        scales = self.weight_scale(w, row)
        return None if given is None or scales is None else Quant.of(bias_scales(float(given.scale[0]), scales))

    def weight_scale(self, w: Tensor, row: OpRow) -> Any:
        """Scales weights have, or would get: one per channel unless the whole file has one each."""
        if w.quant is not None and w.quant.scale.size and not w.is_float:
            return w.quant.scale
        if w.buffer is None or w.dtype != "float32" or w.sparsity is not None:
            return None
        whole = row.axis is None or (self.per_tensor and self.quantized)
        return WeightSpec(granularity=PerTensor() if whole or row.axis is None else PerAxis(row.axis)).scales(w.array)


def activations(op: Op) -> list[Tensor]:
    """Float operands that are no constants."""
    return [t for t in op.inputs if t is not None and t.is_float and not t.is_constant]


def float_constants(op: Op) -> list[tuple[int, Tensor]]:
    """Float constants an operator reads, with their positions."""
    return [(i, t) for i, t in enumerate(op.inputs) if t is not None and t.dtype == "float32" and t.buffer is not None]


def name_of(op: Op) -> str:
    """An operator in a sentence."""
    return f"op {op.origin} {op.custom_code or op.kind}"


def names_of(ops: list[Op], most: int = 4) -> str:
    """Some operators in a sentence."""
    more = f" and {len(ops) - most} more" if len(ops) > most else ""
    return ", ".join(name_of(op) for op in ops[:most]) + more


def _maker(model: Model) -> str | None:
    """Who quantized the file, as far as its names show."""
    conversions = [op.output_name for g in model.graphs for op in g.ops if op.kind in CONVERSIONS]
    if conversions and all(n.endswith(("_quantized", "_dequant", "_requant")) for n in conversions):
        return "ai-edge-quantizer"
    return "TensorFlow" if (model.description or "").startswith("MLIR") else None
