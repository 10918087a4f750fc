"""A snippet in Python, for ai_edge_litert: a module with a function `run`, which runs on zeros if it is called as a script."""

from __future__ import annotations

from collections.abc import Sequence

from fullint.auditing.snippets.interface import InterfaceTensor
from fullint.model.ir import NUMPY_TYPES

_QUANTIZE = '''

def quantize(real, dtype, scale, zero_point):
    """The codes of real values: the nearest ones (even at ties), limited to what the type holds."""
    codes = np.rint(np.asarray(real, np.float32) / np.float32(scale)) + np.float32(zero_point)
    return np.clip(codes, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
'''
_DEQUANTIZE = '''

def dequantize(codes, scale, zero_point):
    """The real values of codes."""
    return (codes.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
'''


def write(inputs: Sequence[InterfaceTensor], outputs: Sequence[InterfaceTensor], path: str) -> str:
    """The source file. A single output is returned as an array, several as a tuple."""
    lines = [
        '"""Runs a model on real values. Made by fullint inspect --snippet python."""',
        "",
        "import numpy as np",
        "from ai_edge_litert.interpreter import Interpreter",
        "",
        *(f"# {t}" for t in (*inputs, *outputs)),
        "",
        f"interpreter = Interpreter({path!a})",
        "interpreter.allocate_tensors()",
        *(_QUANTIZE.splitlines() if any(t.scale for t in inputs) else ()),
        *(_DEQUANTIZE.splitlines() if any(t.scale for t in outputs) else ()),
        "",
        "",
        f"def run({', '.join(t.identifier for t in inputs)}):",
        '    """Set the inputs, run the model once, and return the outputs."""',
        "    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()",
        *(f'    interpreter.set_tensor(inputs[{t.index}]["index"], {_codes(t)})' for t in inputs),
        "    interpreter.invoke()",
        *(f"    {t.identifier} = {_values(t)}" for t in outputs),
        f"    return {', '.join(t.identifier for t in outputs) or '()'}",
        "",
        "",
        'if __name__ == "__main__":',
        "    zeros = (",
        *(f"        np.zeros({t.shape}, {'np.float32' if t.scale else _type(t)})," for t in inputs),
        "    )",
        "    print(run(*zeros))",
    ]
    return "\n".join(lines) + "\n"


def _codes(t: InterfaceTensor) -> str:
    """The expression for what an input is set to."""
    if t.scale:
        return f"quantize({t.identifier}, {_type(t)}, {t.scale}, {t.zero_point}).reshape({t.shape})"
    return f"np.asarray({t.identifier}, {_type(t)}).reshape({t.shape})"


def _values(t: InterfaceTensor) -> str:
    """The expression for the values of an output."""
    read = f'interpreter.get_tensor(outputs[{t.index}]["index"])'
    return f"dequantize({read}, {t.scale}, {t.zero_point})" if t.scale else read


def _type(t: InterfaceTensor) -> str:
    return "np.bool_" if t.dtype == "bool" else f"np.{NUMPY_TYPES[t.dtype].__name__}"  # NumPy 1 has no np.bool
