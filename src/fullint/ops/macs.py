"""Number of multiply-accumulates of an operator, a measure of its cost.

conv    MACs = output elements * kernel height * kernel width * input channels (per group)
dense   MACs = output elements * input features
LSTM    MACs = steps * elements of its matrices

The body of a WHILE is not counted, since the number of iterations depends on the data.
"""

from __future__ import annotations

from fullint.model.ir import Model, Op


def macs(op: Op) -> int:
    """Multiply-accumulates of one operator per run; 0 for operators without weights or matrix products."""
    w = op.input(1)
    if w is None or not op.outputs:
        return 0
    out = op.outputs[0]
    match op.kind:
        case "CONV_2D" if len(w.shape) == 4:
            return out.size * w.shape[1] * w.shape[2] * w.shape[3]
        case "DEPTHWISE_CONV_2D" if len(w.shape) == 4:
            return out.size * w.shape[1] * w.shape[2]
        case "TRANSPOSE_CONV" if len(w.shape) == 4 and (x := op.input(2)) is not None:
            return x.size * w.shape[0] * w.shape[1] * w.shape[2]
        case "FULLY_CONNECTED" if len(w.shape) == 2:
            return out.size * w.shape[1]
        case "BATCH_MATMUL" if (a := op.input(0)) is not None and a.shape:
            return out.size * a.shape[-2 if op.options.get("adj_x") and len(a.shape) > 1 else -1]
        case "UNIDIRECTIONAL_SEQUENCE_LSTM" | "BIDIRECTIONAL_SEQUENCE_LSTM" | "LSTM" if (
            a := op.input(0)
        ) is not None and a.shape:
            weights = sum(t.size for t in op.inputs[1:] if t is not None and t.is_constant and len(t.shape) == 2)
            return weights * a.size // max(a.shape[-1], 1)
        case _:
            return 0


def total_macs(model: Model) -> int:
    """Multiply-accumulates of the main graph per run."""
    return sum(macs(op) for op in model.main.ops)
