"""Restore the original names, order and layout of inputs and outputs in a converter's `.tflite`.

    converter's      serving_default_args_0:0 [1,32,32,3]                          StatefulPartitionedCall:1 [1,16,16,8]
    the user's       image [1,3,32,32] -> TRANSPOSE -> [1,32,32,3]    [1,16,16,8] -> TRANSPOSE -> features [1,8,16,16]

How axes were moved is determined from the shapes where possible, else from the results on one sample.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fullint.calibration.signatures import view
from fullint.errors import ModelFormatError
from fullint.model.ir import Array, Model, Signature, Tensor, constant, twin
from fullint.model.tflite import read_model, write_model
from fullint.ops.make import make_op
from fullint.ops.structure import check_readable
from fullint.passes.custom_ops import without_custom
from fullint.passes.qat_params import make_runnable
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.metrics import Score, mean_sqnr

SURE, SAME = 60.0, 25.0
"""dB between the framework and the float `.tflite`: from `SURE` on it is the same network; below `SAME` it computes something
else."""
PLACEHOLDER = "ONNX_"
"""Of the names of custom operators that onnx2tf puts where it has no conversion."""
_EQUAL = 0.99
_MOST_AXES = 5
_WEIRD = 1e30


@dataclass(frozen=True)
class Original:
    """The interface of the model that was converted.

    Attributes:
        inputs, outputs: (the original name, the name in the `.tflite`'s signature), in the original order.
        sample: one array per input.
        expected: the framework's outputs for the sample.
    """

    inputs: Sequence[tuple[str, str]]
    outputs: Sequence[tuple[str, str]]
    sample: Sequence[Array]
    expected: Sequence[Array]


@dataclass(frozen=True)
class Matched:
    """The `.tflite` with the original interface.

    Attributes:
        model: the file's bytes.
        sqnr_db: mean SQNR of the float outputs against the framework, None if nothing could be compared.
        equal: smallest share of equal elements of the other outputs, 0 to 1, or None.
    """

    model: bytes
    sqnr_db: float | None
    equal: float | None

    @property
    def nearness(self) -> float:
        """SQNR in dB; `SURE` if there are no float outputs to compare and the integer ones, if any, are equal."""
        if self.sqnr_db is not None:
            return self.sqnr_db
        return SURE if self.equal is None or self.equal > _EQUAL else 0.0


def match_interface(data: bytes, original: Original) -> Matched:
    """Restore the interface and compare results; if shapes leave the layout open (1x3x3x3), try both layouts.

    Raises:
        ModelFormatError: the inputs or outputs of the `.tflite` do not match the original's.
        RuntimeFailure: LiteRT does not run the `.tflite`.
    """
    plain = _match_interface(data, original, moved=False)
    if plain.nearness >= SURE or not any(_ambiguous(x.shape) for x in original.sample):
        return plain
    return max(plain, _match_interface(data, original, moved=True), key=lambda f: f.nearness)


def match_signatures(data: bytes, originals: Mapping[str, Original]) -> Matched:
    """`match_interface` for each signature, by key; the SQNR is that of the worst, and the first is the main graph."""
    found: list[Matched] = []
    for key in [*originals, *list(originals)[:1]]:
        model = read_model(data)
        graph = next((s.graph for s in model.signatures if s.key == key), model.main)
        data = write_model(view(model, graph)) if graph is not model.main else data
        if len(found) < len(originals):
            found.append(match_interface(data, originals[key]))
            data = found[-1].model
    return replace(min(found, key=lambda m: m.nearness), model=data)


def _ambiguous(shape: tuple[int, ...]) -> bool:
    return len(shape) >= 3 and shape == _channels_last(shape)


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1])


def _match_interface(data: bytes, original: Original, *, moved: bool) -> Matched:
    model = read_model(data)
    _without_placeholders(model)
    check_readable(model, scales=False)
    without_custom(model)
    make_runnable(model)
    runs = not any(op.kind == "CUSTOM" for _, op in model.ops())
    inputs = _in_order(model, [i[1] for i in original.inputs], model.main.inputs, "input")
    outputs = _in_order(model, [o[1] for o in original.outputs], model.main.outputs, "output")
    for i, (t, value) in enumerate(zip(inputs, original.sample, strict=True)):
        inputs[i] = _as_given(model, t, value.shape, moved=moved)
    model.main.inputs, model.main.outputs = inputs, outputs
    model.main.sync_tensors()
    made = _run(model, original.sample) if runs else None
    for i, value in enumerate(original.expected):
        order = _moved(value, made[i] if made is not None else None, outputs[i].shape)
        if order is not None:
            outputs[i] = _transposed(model, outputs[i], order)
            if made is not None:
                made[i] = made[i].transpose(order)
    _name(model, inputs, [i[0] for i in original.inputs])
    handed_on = {*inputs}  # the tensor of an input that is an output as well keeps the input's name; the signature has both
    ends = [(t, o[0]) for t, o in zip(outputs, original.outputs, strict=True) if t not in handed_on]
    _name(model, [t for t, _ in ends], [n for _, n in ends])
    _sign(model, inputs, outputs, original)
    return Matched(write_model(model), *(_compared(original.expected, made) if made is not None else (None, None)))


def _without_placeholders(model: Model) -> None:
    """Refuse what a converter leaves to an operator that exists nowhere."""
    for _, op in model.ops():
        if (op.custom_code or "").startswith(PLACEHOLDER):
            kind = (op.custom_code or "").removeprefix(PLACEHOLDER).lower().capitalize()
            raise ModelFormatError(
                f'{kind} "{op.outputs[0].name}" has no counterpart in TFLite, and was left to an operator that nothing computes, '
                f"{op.custom_code}; export the network without it: where it is a branch, with the branch that is used alone"
            )


def _in_order(model: Model, names: Sequence[str], ends: Sequence[Tensor], what: str) -> list[Tensor]:
    """The model's inputs or outputs in the original's order, by the names the signature gives them."""
    signature = next((s for s in model.signatures if s.graph is model.main), None)
    if len(ends) != len(names):
        raise ModelFormatError(f"the converted model has {len(ends)} {what}s, the original {len(names)}")
    by_name = {_plain(t.name.removeprefix("serving_default_").rpartition(":")[0] or t.name): t for t in ends}
    if signature is not None:
        by_name |= {_plain(n or ""): t for n, t in getattr(signature, f"{what}s")}
    wanted = [_plain(n) for n in names]
    return [by_name[n] for n in wanted] if set(wanted) <= set(by_name) else list(ends)


def _plain(name: str) -> str:
    """A name without what converters change: all but letters and digits become "_"."""
    return re.sub(r"\W", "_", name.removesuffix(":0"))


def _as_given(model: Model, t: Tensor, shape: tuple[int, ...], *, moved: bool) -> Tensor:
    """The input in the original layout, followed by a TRANSPOSE if the converter moved the channels to the end."""
    if len(shape) < 3 or t.shape != _channels_last(shape) or (t.shape == shape and not moved):
        return t
    order = (0, *range(2, len(shape)), 1)
    outer = twin(t, t.name)
    outer.shape = outer.shape_signature = shape
    t.name += "/channels_last"
    axes = constant(f"{outer.name}/axes", np.array(order, np.int32))
    model.main.ops.insert(0, make_op("TRANSPOSE", [outer, axes], [t]))
    return outer


def _transposed(model: Model, t: Tensor, order: tuple[int, ...]) -> Tensor:
    outer = twin(t, t.name)
    outer.shape = outer.shape_signature = tuple(t.shape[a] for a in order)
    t.name += "/moved"
    axes = constant(f"{outer.name}/axes", np.array(order, np.int32))
    model.main.ops.append(make_op("TRANSPOSE", [t, axes], [outer]))
    return outer


def _moved(expected: Array, made: Array | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The permutation that restores an output's original layout, None if it is unchanged."""
    rank = expected.ndim
    if rank < 3 or rank > _MOST_AXES or len(shape) != rank:
        return None
    orders = [o for o in itertools.permutations(range(rank)) if tuple(shape[a] for a in o) == expected.shape]
    same = tuple(range(rank))
    if not orders or made is None or made.dtype.kind != "f":
        usual = (0, rank - 1, *range(1, rank - 1))  # NHWC to NCHW
        return usual if same not in orders and usual in orders else None
    if same in orders and _error(expected, made) <= 1e-3 * _size(expected):
        return None
    best = min(orders, key=lambda o: _error(expected, made.transpose(o)))
    return None if best == same else best


def _size(x: Array) -> float:
    return float(np.nan_to_num(np.abs(x), nan=0.0, posinf=0.0).sum())


def _error(a: Array, b: Array) -> float:
    return float(np.nan_to_num(np.abs(a - b), nan=0.0, posinf=_WEIRD).sum())


def _name(model: Model, ends: Sequence[Tensor], names: Sequence[str]) -> None:
    """Give tensors their original names, unless another tensor of the graph has that name."""
    for t, name in zip(ends, names, strict=True):
        if all(other is t or other.name != name for other in (*model.main.tensors, *model.main.inputs)):
            t.name = name


def _sign(model: Model, inputs: Sequence[Tensor], outputs: Sequence[Tensor], original: Original) -> None:
    """Replace the graph's signatures by one with the original names."""
    graph = model.main
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    graph.sync_tensors()
    key = next((s.key for s in model.signatures if s.graph is graph), "serving_default")
    others = [s for s in model.signatures if s.graph is not graph]
    named = Signature(key, graph, [], [])
    named.inputs += [(n, t) for (n, _), t in zip(original.inputs, inputs, strict=True)]
    named.outputs += [(n, t) for (n, _), t in zip(original.outputs, outputs, strict=True)]
    model.signatures = [named, *others]


def _run(model: Model, sample: Sequence[Array]) -> list[Array]:
    with model_file(model) as path, WorkerProcess("the converted model") as worker:
        worker.call(Open(path, "builtin", 1))
        values: list[Array] = worker.call(Run([_typed(x, t) for x, t in zip(sample, model.main.inputs, strict=True)]))
        return values


def _typed(x: Array, t: Tensor) -> Array:
    if x.size != math.prod(t.shape):
        raise ModelFormatError(f'input "{t.name}" has shape {t.shape} in the converted model, {x.shape} in the original')
    typed: Array = np.ascontiguousarray(x.astype(t.dtype if t.dtype != "bool" else np.bool_))
    return typed.reshape(t.shape)


def _compared(expected: Sequence[Array], made: Sequence[Array]) -> tuple[float | None, float | None]:
    """(mean SQNR of the float outputs, share of equal elements of the others)."""
    scores = []
    equal: list[float] = []
    for a, b in zip(expected, made, strict=True):
        if a.shape != b.shape:
            raise ModelFormatError(f"an output has shape {b.shape} in the converted model, {a.shape} in the original")
        if a.dtype.kind != "f":
            equal.append(float((a == b).mean()) if a.size else 1.0)
            continue
        fine = np.isfinite(a) & np.isfinite(b)
        if fine.any():
            scores.append(Score())
            scores[-1].add(a[fine].astype(np.float32), b[fine])
    return mean_sqnr(scores), min(equal, default=None)
