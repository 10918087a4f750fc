"""A snippet in C99 for microcontrollers: a header with the sizes, the parameters, and a function for each quantized value.

The interpreter of TensorFlow Lite for Microcontrollers is C++, so its calls stand in a comment; the header is valid in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fullint.auditing.snippets.interface import InterfaceTensor, file_identifier, file_name, require_types

C_TYPES = {
    "float32": "float",
    "float64": "double",
    "bool": "bool",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""TFLite element type -> the type of C and C++."""
_MEMBERS = {
    "float32": "f",
    "float64": "f64",
    "bool": "b",
    "int8": "int8",
    "uint8": "uint8",
    "int16": "i16",
    "uint16": "ui16",
    "int32": "i32",
    "uint32": "u32",
    "int64": "i64",
    "uint64": "u64",
}
"""TFLite element type -> its pointer in the union `TfLiteTensor.data`."""


def write(inputs: Sequence[InterfaceTensor], outputs: Sequence[InterfaceTensor], path: str) -> str:
    """The header."""
    require_types([*inputs, *outputs], C_TYPES, "C")
    prefix = file_identifier(path)
    guard = f"{prefix.upper()}_H"
    quantized = [t for t in (*inputs, *outputs) if t.scale]
    lines = [
        f"// Quantizes the inputs and reads the outputs of {file_name(path)}. Made by fullint inspect --snippet c.",
        "//",
        *(f"// {t}" for t in (*inputs, *outputs)),
        "//",
        "// With TensorFlow Lite for Microcontrollers, where `interpreter` is a tflite::MicroInterpreter:",
        "//",
        *(f"//   {line}" for line in _calls(inputs, outputs, prefix)),
        "",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        *(["#include <math.h>"] if any(t.scale for t in inputs) else []),
        *(["#include <stdint.h>", ""] if quantized else []),
        *(line for t in (*inputs, *outputs) for line in _constants(t, _macro(t, prefix))),
        *(line for t in inputs if t.scale for line in _quantize(t, prefix)),
        *(line for t in outputs if t.scale for line in _dequantize(t, prefix)),
        "",
        f"#endif  // {guard}",
    ]
    return "\n".join(lines) + "\n"


def _macro(t: InterfaceTensor, prefix: str) -> str:
    return f"{prefix}_{t.identifier}".upper()


def _calls(inputs: Sequence[InterfaceTensor], outputs: Sequence[InterfaceTensor], prefix: str) -> Iterator[str]:
    """Code in C++ that runs the model once."""
    for t in inputs:
        given = f"values_of_{t.identifier}[i]"
        value = f"{prefix}_quantize_{t.identifier}({given})" if t.scale else given
        yield f"TfLiteTensor* {t.identifier} = interpreter.input({t.index});"
        yield f"for (int i = 0; i < {_macro(t, prefix)}_SIZE; ++i) {t.identifier}->data.{_MEMBERS[t.dtype]}[i] = {value};"
    yield "if (interpreter.Invoke() != kTfLiteOk) return;"
    for t in outputs:
        code = f"{t.identifier}->data.{_MEMBERS[t.dtype]}[i]"
        value = f"{prefix}_dequantize_{t.identifier}({code})" if t.scale else code
        yield f"TfLiteTensor* {t.identifier} = interpreter.output({t.index});"
        yield f"for (int i = 0; i < {_macro(t, prefix)}_SIZE; ++i) values_of_{t.identifier}[i] = {value};"


def _constants(t: InterfaceTensor, macro: str) -> Iterator[str]:
    yield f"#define {macro}_SIZE {t.size}"
    if t.scale:
        yield f"#define {macro}_SCALE {t.scale}f"
        yield f"#define {macro}_ZERO_POINT ({t.zero_point})"


def _quantize(t: InterfaceTensor, prefix: str) -> list[str]:
    macro, (low, high) = _macro(t, prefix), t.codes
    return [
        "",
        f"// The code of a real value: the nearest one (even at ties), limited to {low}..{high}.",
        f"static inline {C_TYPES[t.dtype]} {prefix}_quantize_{t.identifier}(float real)",
        "{",
        f"    float code = rintf(real / {macro}_SCALE) + (float){macro}_ZERO_POINT;",
        f"    if (!(code > {low}.0f)) return {low};",
        f"    return code < {high}.0f ? ({C_TYPES[t.dtype]})code : {high};",
        "}",
    ]


def _dequantize(t: InterfaceTensor, prefix: str) -> list[str]:
    macro = _macro(t, prefix)
    return [
        "",
        "// The real value of a code.",
        f"static inline float {prefix}_dequantize_{t.identifier}({C_TYPES[t.dtype]} code)",
        "{",
        f"    return ((float)code - (float){macro}_ZERO_POINT) * {macro}_SCALE;",
        "}",
    ]
