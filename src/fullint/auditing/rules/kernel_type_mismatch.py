"""kernel-type-mismatch: The operands have types that no kernel takes together.

What it does:
    Finds operators that mix integer codes with floats, int8 with int16, or codes with raw integers, and integer
    operators whose kind, or whose int16 form, LiteRT has no kernel for.

Why it matters:
    The runtime refuses the model when it prepares it, or, worse, takes codes for numbers and computes nonsense.

Seen in:
    int16 SQUARED_DIFFERENCE written by a converter although no kernel takes it; int8 TILE with old runtimes; models
    edited by hand.

Example:
    op 7 ADD "sum": it reads int8 "a" and float32 "b"

Fix (safe):
    Operands are converted to one type: each integer operand is read as the numbers it stands for, and the operator
    quantized again.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, integer_row, short
from fullint.model.ir import Op, Tensor
from fullint.ops import ROWS, Given, OpRow, Role
from fullint.ops.base import CONVERSIONS, codes, is_wide
from fullint.ops.decompositions import CODES_TAKEN, INTEGERS

_REAL = (Role.OWN, Role.SAME)
_FIX = "read its codes as numbers and quantize it again"


def find(op: Op, facts: Facts) -> Found | None:
    """Operands of types that do not go together, or a kind without an integer kernel."""
    if op.kind in CONVERSIONS:
        return None
    row = ROWS.get(op.kind)
    kinds = _types(op, row)
    if len(kinds) > 1:
        (a, x), (b, y) = list(kinds.items())[:2]
        return Found(f'it has {a} "{short(x)}" beside {b} "{short(y)}"', _FIX, {"types": sorted(kinds)})
    if any(t.is_float for t in op.values()):
        return None
    if row is None:
        return _no_kernel(op)
    if row.derive is not None and (wrong := _derived(op, row)) is not None:
        return wrong
    if integer_row(op) is not None and is_wide(op) and not row.int16:
        return Found(f"LiteRT has no {op.kind} with int16 activations ({row.source})", _FIX, {"types": ["int16"]})
    return None


def _types(op: Op, row: OpRow | None) -> dict[str, Tensor]:
    """Element types of the operands that stand for real numbers, constants of weights left out."""
    found: dict[str, Tensor] = {}
    if row is None or op.kind in ("CAST", "SOFTMAX"):  # SOFTMAX from int8 to int16 is a form of its own
        return found
    real = [t for i, t in enumerate(op.inputs) if t is not None and row.role(i) in _REAL and not t.is_variable]
    if row.weight is None:
        real += op.outputs if all(t.is_float or codes(t) for t in op.outputs) else []
    elif (x := op.input(row.data)) is not None and x not in real:
        real.append(x)
    if row.weight is not None:
        real += op.outputs
    floats = [t for t in real if t.is_float and not t.is_constant]
    for t in [*floats, *(t for t in real if codes(t) and not (t.is_constant and floats))]:
        found.setdefault(t.dtype, t)
    if any(codes(t) for t in real):
        for t in real:
            if t.dtype in ("int8", "int16") and not codes(t):
                found.setdefault(f"{t.dtype} without a scale", t)
    return found


def _derived(op: Op, row: OpRow) -> Found | None:
    """Weights or state of a recurrent operator in a type that the kernel does not take."""
    given = {i: t.quant for i, t in enumerate(op.inputs) if codes(t) and t is not None and t.quant is not None}
    out = op.outputs[0].quant
    if row.derive is None or out is None or 0 not in given or row.refuses(op):
        return None
    for i, (dtype, _) in row.derive(op, Given(given, out, {})).operands.items():
        t = op.input(i)
        if t is not None and t.dtype != dtype:
            what = "state" if t.is_variable else "constant"
            return Found(
                f'its {what} "{short(t)}" is {t.dtype}, LiteRT\'s kernel takes {dtype}', _FIX, {"input": i, "types": [t.dtype]}
            )
    return None


def _no_kernel(op: Op) -> Found | None:
    """A quantized operator of a kind that has no integer kernel."""
    coded = [t for t in op.values() if codes(t) and not t.is_variable]
    if not coded or op.kind in CODES_TAKEN or op.kind in INTEGERS:
        return None
    dtype = coded[0].dtype
    return Found(f"LiteRT has no kernel of {op.kind} that knows the scales of {dtype}", _FIX, {"types": [dtype]})


RULE = Rule("kernel-type-mismatch", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
