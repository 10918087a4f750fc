"""What a rule is, what it finds, and the facts about the model that it is given.

Each rule is a module: its docstring is the manual page (`fullint explain NAME`), its `RULE` holds the rest. Rules only
look; what they find is a value that `repair` can act on.

    scope      looks at                                      findings
    FLOAT      operators that compute in float               one: of the first rule in `rules.RULES` that applies
    BORDER     conversions that touch floats                 one: of the first rule that applies
    INTEGER    operators without a float operand             any number
    END        inputs and outputs of graphs                  any number
    EVERY      all operators                                 any number
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from fullint.calibration.masks import paddings
from fullint.model.ir import Buffer, Graph, Model, Op, Quant, Tensor, Uses
from fullint.model.numerics import bias_scales
from fullint.model.ranges import Range
from fullint.model.weights import WeightSpec
from fullint.ops import ROWS, OpRow
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.macs import macs
from fullint.ops.operands import plain, same_group
from fullint.passes.input_ids import find_ids
from fullint.verification.operator_checks import Breach

QUANTIZE_IT = "fullint quantize MODEL -c SAMPLES -o OUT"
"""The fix of a model without quantized activations."""
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
    LIFT = "lift"  # the integer operator is rewritten as the float operator it stands for, then quantized again
    CANCEL = "cancel"  # the conversion is removed
    ENDS = "ends"  # inputs and outputs become integer
    STAMP = "stamp"  # the version is corrected
    SHAPE = "shape"  # dynamic dimensions are fixed
    FOLLOW = "follow"  # it disappears when its neighbours are fixed
    NONE = "none"


@dataclass(frozen=True)
class Found:
    """What a rule found about one operator or tensor.

    Attributes:
        cause: a sentence without a full stop that names the tensors and operators involved.
        fix: what to do about it, as an instruction.
        evidence: the numbers behind the cause, as JSON values.
        level, mend, safe: set where they differ from the rule's own.
    """

    cause: str
    fix: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    level: str | None = None
    mend: Mend | None = None
    safe: bool | None = None

    @classmethod
    def of(cls, breach: Breach, fix: str, level: str | None = None, mend: Mend | None = None, safe: bool | None = None) -> Found:
        """A breach of the contract as a finding, with its fix."""
        return cls(breach.text, fix, breach.evidence, level, mend, safe)


@dataclass(frozen=True)
class Saturation:
    """How many values of a tensor are at the ends of its range, on samples.

    Attributes:
        low, high: shares at the smallest and largest code, 0 to 1; 0 for an end that the network asks for.
        range: what the codes can represent.
        values: number of values counted.
        much: whether that is more than chance on values that calibration did not see.
    """

    low: float
    high: float
    range: Range
    values: int
    much: bool = True

    @property
    def share(self) -> float:
        """At either end."""
        return self.low + self.high


@dataclass(frozen=True)
class Rule:
    """A rule of the audit.

    Attributes:
        name: its name, such as "float-io".
        level: "error" (not integer, or wrong), "warning" (costs time, memory or portability) or "note".
        scopes: what it looks at.
        mend: how `repair` fixes it.
        safe: whether the fix of an integer operator changes the model's results by no more than rounding.
        find: operator -> what it found, or None.
        find_end: the same for an input or output of an entry graph.
        page: the manual page.
        right: whether the integer operators it reports still compute what the file says.
        bearable: whether `repair` hands on what it reports where there is no fix, instead of refusing the file.
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
    bearable: bool = False

    def safe_for(self, what: Op | Tensor, found: Found) -> bool:
        """Whether a fix keeps what the model computes; a float operator computes what it says, whatever lies around it."""
        in_float = isinstance(what, Op) and any(t.is_float for t in what.values())
        return self.safe or in_float if found.safe is None else found.safe

    @property
    def summary(self) -> str:
        """The first line of its manual page, without the name."""
        return (self.page or "").strip().splitlines()[0].partition(": ")[2]


class Facts:
    """A model with the facts that several rules need, computed once."""

    def __init__(
        self, model: Model, runtime: tuple[int, ...] | None = None, saturation: Mapping[Tensor, Saturation] | None = None
    ) -> None:
        self.model, self.runtime, self.saturation = model, runtime, saturation
        self.uses = Uses(*model.graphs)
        self.place = {op: (number, graph) for number, graph in enumerate(model.graphs) for op in graph.ops}
        self.holders: dict[Buffer, list[tuple[Op, int]]] = {}
        """Buffer of a constant -> the operators that read it, with the input's position."""
        for op in self.place:
            for i, t in enumerate(op.inputs):
                if t is not None and t.buffer is not None:
                    self.holders.setdefault(t.buffer, []).append((op, i))
        self.quantized = any(codes(t) and not t.is_constant for op in self.place for t in op.outputs)
        """Whether any activation is quantized, so that the model went through a quantizer."""
        self.per_tensor = not any(t.quant is not None and t.quant.per_channel for op in self.place for t in op.operands())
        """Whether no tensor of the file is quantized per channel."""
        self.maker = _maker(model)
        self.reasons: dict[Op, str | None] = {}
        """Cache of `rules.reason`."""
        self.callers = {g: op for op in self.place for g in op.subgraphs()}
        self.total_macs = sum(macs(op) for op in self.place)

    def params(self, t: Tensor) -> Quant | None:
        """Parameters of a float activation, from the DEQUANTIZE that produces it or a QUANTIZE that reads it."""
        made = self.uses.producer.get(t)
        if made is not None and made.kind == "DEQUANTIZE" and (q := plain(made.inputs[0])) is not None:
            return q
        return next((q for op, _ in self.uses.of(t) if op.kind == "QUANTIZE" and (q := plain(op.outputs[0])) is not None), None)

    @cached_property
    def paddings(self) -> Collection[tuple[Op, int]]:
        """Constant operands of which nothing but a maximum, or minimum, is made."""
        return paddings(self.model)

    @cached_property
    def id_casts(self) -> Collection[Op]:
        """What makes integers of the float inputs that carry ids."""
        found = [ids for graph in self.model.entries if (ids := find_ids(graph)) is not None]
        return {op for ids in found for op in ids.casts if op.inputs[0] in ids.inputs}

    @cached_property
    def lost(self) -> Mapping[Tensor, Quant]:
        """Integer tensors that lost their parameters -> those of the tensors that they share a scale with, if these agree."""
        found: dict[Tensor, Quant] = {}
        groups = [same_group(op, row) for op in self.place if (row := ROWS.get(op.kind)) is not None]
        bare = [group for group in groups if any(_without_scale(t) for t in group)]
        while True:
            before = len(found)
            for group in bare:
                known = [q for t in group if (q := found.get(t) or plain(t)) is not None]
                if known and all(q.same_as(known[0]) for q in known):
                    found |= {t: known[0] for t in group if _without_scale(t) and t not in found}
            if len(found) == before:
                return found

    def float_neighbours(self, op: Op) -> list[Op]:
        """Float operators that produce an input of this one, or read its outputs."""
        near = [p for t in activations(op) if (p := self.uses.producer.get(t)) is not None]
        near += [reader for t in op.outputs if t.is_float for reader, _ in self.uses.of(t)]
        return [n for n in dict.fromkeys(near) if n is not op and n.kind not in CONVERSIONS]

    def bias_scale(self, op: Op) -> Quant | None:
        """s_in * s_w, the parameters the bias needs, or None if those of the input are unknown."""
        row = ROWS.get(op.kind)
        x, w = (op.input(row.data), op.input(row.weight or 0)) if row and row.bias is not None else (None, None)
        if row is None or x is None or w is None:
            return None
        given = self.params(x) if x.is_float else plain(x)
        scales = self.weight_scale(w, row)
        return None if given is None or scales is None else Quant.of(bias_scales(float(given.scale[0]), scales))

    def weight_scale(self, w: Tensor, row: OpRow) -> Any:
        """Scales the weights have or would get: per channel, unless the whole file is quantized per tensor."""
        if w.quant is not None and w.quant.scale.size and not w.is_float:
            return w.quant.scale
        if w.buffer is None or w.dtype != "float32" or w.sparsity is not None:
            return None
        return WeightSpec.along(None if self.per_tensor and self.quantized else row.axis).scales(w.array)


def _without_scale(t: Tensor) -> bool:
    return t.dtype in ("int8", "int16", "uint8") and not codes(t)


def activations(op: Op) -> list[Tensor]:
    """The float inputs of an operator that are not constants."""
    return [t for t in op.inputs if t is not None and t.is_float and not t.is_constant]


def float_constants(op: Op) -> list[tuple[int, Tensor]]:
    """The float32 constants an operator reads, with their positions."""
    return [(i, t) for i, t in enumerate(op.inputs) if t is not None and t.dtype == "float32" and t.buffer is not None]


def name_of(op: Op) -> str:
    """An operator as messages name it: index and type."""
    return f"op {op.origin} {op.custom_code or op.kind}"


def names_of(ops: list[Op], most: int = 4) -> str:
    """Operators as messages list them, the first `most` by name."""
    more = f" and {len(ops) - most} more" if len(ops) > most else ""
    return ", ".join(name_of(op) for op in ops[:most]) + more


def _maker(model: Model) -> str | None:
    """The tool that quantized the file, guessed from tensor names and the description, or None."""
    conversions = [op.output_name for g in model.graphs for op in g.ops if op.kind in CONVERSIONS]
    if conversions and all(n.endswith(("_quantized", "_dequant", "_requant")) for n in conversions):
        return "ai-edge-quantizer"
    return "TensorFlow" if (model.description or "").startswith("MLIR") else None
