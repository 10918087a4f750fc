"""`inspect`: operators, types, sizes, multiply-accumulates and signatures of a model, without running it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fullint.auditing.report_document import inspection_document
from fullint.auditing.snippets import write_snippet
from fullint.documents import Document
from fullint.model.census import count_conv, count_float, operator_counts
from fullint.model.ir import Model, Op, Tensor
from fullint.model.tflite import read_model
from fullint.ops.macs import macs
from fullint.ops.structure import check_readable
from fullint.options.choices import MEMORY_TARGETS, SNIPPET_LANGUAGES
from fullint.options.of_samples import one_of
from fullint.reporting import SCHEMA_VERSION, Report
from fullint.runtime.damaged_models import diagnosing

if TYPE_CHECKING:
    from fullint.delegates.micro_memory import MicroMemory


@dataclass(frozen=True)
class TensorInfo:
    """An input or output; `quantization` is scale and zero point as text, or None if it is not quantized."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...] | None
    quantization: str | None
    constant_bytes: int


@dataclass(frozen=True)
class OperatorInfo:
    """An operator; `dtypes` lists the types of its inputs, then "->", then those of its outputs."""

    graph: int
    index: int
    kind: str
    version: int
    output: str
    output_shape: tuple[int, ...]
    dtypes: str
    macs: int
    constant_bytes: int


@dataclass(frozen=True)
class SignatureInfo:
    """A signature: its key, and (name, tensor name) of each input and output."""

    key: str | None
    inputs: tuple[tuple[str | None, str], ...]
    outputs: tuple[tuple[str | None, str], ...]


@dataclass(frozen=True, repr=False)
class Inspection(Report):
    """The result of `inspect`; sizes are in bytes.

    `snippet` is the text of a source file, "" if none was asked for; `micro` what the model takes on a microcontroller, None if
    that was not asked for.
    """

    schema_version: int
    file: str
    file_bytes: int
    constant_bytes: int
    macs: int
    operators: int
    float_operators: int
    operator_counts: dict[str, int]
    conv_2d: dict[str, int]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    signatures: tuple[SignatureInfo, ...]
    metadata: tuple[str, ...]
    description: str | None
    subgraphs: int
    operator_list: tuple[OperatorInfo, ...]
    snippet: str = ""
    micro: MicroMemory | None = None

    def rows(self) -> tuple[OperatorInfo, ...]:
        """The operators."""
        return self.operator_list

    def document(self) -> Document:
        """What the report says: the snippet alone, where one was asked for."""
        return inspection_document(self)


@diagnosing
def inspect(model: str | Path | bytes, snippet: str | None = None, target: str | None = None) -> Inspection:
    """Read a model and describe its contents.

    Args:
        model: path or bytes of a `.tflite`.
        snippet: write code that quantizes the inputs and reads the outputs, in "python", "cpp", "c" (for microcontrollers)
            or "kotlin".
        target: "tflm" to measure what it takes on a microcontroller, with TensorFlow Lite Micro's allocator.

    Raises:
        ModelFormatError: it is not a readable TFLite model.
        UsageError: there is no snippet in this language, or none for such inputs and outputs; nothing measures the target.
    """
    if snippet is not None:
        one_of("snippet", snippet, SNIPPET_LANGUAGES)
    if target is not None:
        one_of("target", target, MEMORY_TARGETS)
    read = read_model(model)
    check_readable(read)
    size = len(model) if isinstance(model, bytes) else Path(model).stat().st_size
    operators = tuple(_operator(read, g, op) for g, op in read.ops())
    buffers = {id(t.buffer): t.buffer.data.nbytes for g in read.graphs for t in g.tensors if t.buffer is not None}
    convs = count_conv(read)
    file = str(model) if isinstance(model, str | Path) else ""
    return Inspection(
        schema_version=SCHEMA_VERSION,
        file=file,
        file_bytes=size,
        constant_bytes=sum(buffers.values()),
        macs=sum(o.macs for o in operators),
        operators=len(operators),
        float_operators=count_float(read),
        operator_counts=operator_counts(read),
        conv_2d={"total": convs.total, "int8_weights_int32_bias": convs.int8_weights_int32_bias},
        inputs=tuple(_tensor(t) for t in read.main.inputs),
        outputs=tuple(_tensor(t) for t in read.main.outputs),
        signatures=tuple(
            SignatureInfo(s.key, tuple((n, t.name) for n, t in s.inputs), tuple((n, t.name) for n, t in s.outputs))
            for s in read.signatures
        ),
        metadata=tuple(name or "" for name, _ in read.metadata),
        description=read.description,
        subgraphs=len(read.graphs),
        operator_list=operators,
        snippet=write_snippet(read.main, snippet, file) if snippet is not None else "",
        micro=_micro(model) if target is not None else None,
    )


def _micro(model: str | Path | bytes) -> MicroMemory:
    from fullint.delegates.micro_memory import micro_memory

    return micro_memory(model if isinstance(model, bytes) else Path(model).read_bytes())


def _operator(model: Model, graph: int, op: Op) -> OperatorInfo:
    out = op.outputs[0] if op.outputs else None
    inputs = " ".join(t.dtype if t is not None else "-" for t in op.inputs)
    return OperatorInfo(
        graph=graph,
        index=op.origin,
        kind=op.custom_code or op.kind,
        version=op.version,
        output=out.name if out else "",
        output_shape=out.shape if out else (),
        dtypes=f"{inputs} -> {' '.join(t.dtype for t in op.outputs)}",
        macs=macs(op),
        constant_bytes=sum(t.buffer.data.nbytes for t in op.inputs if t is not None and t.buffer is not None),
    )


def _tensor(t: Tensor) -> TensorInfo:
    quant = str(t.quant) if t.quant is not None and t.quant.scale.size else None
    return TensorInfo(t.name, t.dtype, t.shape, t.shape_signature, quant, t.buffer.data.nbytes if t.buffer is not None else 0)
