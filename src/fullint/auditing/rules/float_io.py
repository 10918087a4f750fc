"""float-io: An input or output of the model is float.

What it does:
    Finds float inputs and outputs of entry graphs, and the QUANTIZE and DEQUANTIZE next to them, or the CAST of an input
    that carries ids.

Why it matters:
    An integer-only device cannot run the model, the application's buffers are four times as large, and the conversion
    runs on the CPU at each call. Converters leave inputs and outputs in float unless inference_input_type and
    inference_output_type are set.

Seen in:
    Most published "int8" models.

Example:
    op 0 QUANTIZE "image_int8": the model's input "image" is float32

Fix (safe):
    Inputs and outputs become int8 (--io); the application converts with their scale and zero point. Ids become int32.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Graph, Op, Tensor
from fullint.verification.operator_checks import short

_FIX = "make it int8 (--io int8)"
_FIX_OF_IDS = "make it int32: nothing but integers is made of it"


def find(op: Op, facts: Facts) -> Found | None:
    """A QUANTIZE of a float input, a CAST of one that carries ids, or a DEQUANTIZE to a float output."""
    graph = facts.place[op][1]
    if graph not in facts.model.entries:
        return None
    x = op.input(0)
    if x is not None and x in graph.inputs and (op.kind == "QUANTIZE" or op in facts.id_casts):
        fix = _FIX if op.kind == "QUANTIZE" else _FIX_OF_IDS
        return Found(f'the model\'s input "{short(x)}" is {x.dtype}', fix, {"input": x.name, "dtype": x.dtype})
    if op.kind == "DEQUANTIZE" and op.outputs[0] in graph.outputs and not facts.uses.of(op.outputs[0]):
        return Found(f'the model\'s output "{op.output_name}" is float32', _FIX, {"output": op.output_name, "dtype": "float32"})
    return None


def find_end(tensor: Tensor, graph: Graph, facts: Facts) -> Found | None:
    """A float input or output without a QUANTIZE or DEQUANTIZE next to it."""
    if not tensor.is_float:
        return None
    made = facts.uses.producer.get(tensor)
    near = [op for op, _ in facts.uses.of(tensor)] if tensor in graph.inputs else [made] if made is not None else []
    if facts.quantized and any(find(op, facts) for op in near):
        return None
    what = "input" if tensor in graph.inputs else "output"
    return Found(f"the model's {what} is {tensor.dtype}", _FIX, {what: tensor.name, "dtype": tensor.dtype})


RULE = Rule("float-io", "warning", (Scope.BORDER, Scope.END), Mend.ENDS, True, __doc__, find, find_end)
