"""A snippet in C++ for TensorFlow Lite and LiteRT: a function `Run`, and a `main` that calls it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fullint.auditing.snippets.c import C_TYPES
from fullint.auditing.snippets.interface import InterfaceTensor, file_name, require_types

_HEADERS = """
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#include "tensorflow/lite/interpreter.h"  // in the LiteRT repository: tflite/interpreter.h, and so on
#include "tensorflow/lite/interpreter_builder.h"
#include "tensorflow/lite/kernels/register.h"
#include "tensorflow/lite/model_builder.h"
"""
_QUANTIZE = """
// The code of a real value: the nearest one (even at ties), limited to what the type holds.
template <typename T>
T Quantize(float real, float scale, int zero_point) {
  const float code = std::nearbyint(real / scale) + static_cast<float>(zero_point);
  const float lowest = std::numeric_limits<T>::min(), highest = std::numeric_limits<T>::max();
  return static_cast<T>(std::fmin(std::fmax(code, lowest), highest));
}
"""
_DEQUANTIZE = """
// The real value of a code.
template <typename T>
float Dequantize(T code, float scale, int zero_point) {
  return static_cast<float>(code - zero_point) * scale;
}
"""
_INPUT = """
// Where the values of an input go.
template <typename T>
T* Input(tflite::Interpreter& interpreter, int index, std::size_t count) {
  T* const values = interpreter.typed_input_tensor<T>(index);
  if (values == nullptr || interpreter.input_tensor(index)->bytes != count * sizeof(T))
    throw std::invalid_argument("an input has another type, or another number of values");
  return values;
}
"""
_OUTPUT = """
// The values of an output.
template <typename T>
std::vector<T> Output(const tflite::Interpreter& interpreter, int index) {
  const T* const values = interpreter.typed_output_tensor<T>(index);
  if (values == nullptr) throw std::runtime_error("an output has another type");
  return std::vector<T>(values, values + interpreter.output_tensor(index)->bytes / sizeof(T));
}
"""


def write(inputs: Sequence[InterfaceTensor], outputs: Sequence[InterfaceTensor], path: str) -> str:
    """The source file."""
    require_types([*inputs, *outputs], C_TYPES, "C++")
    parts = (
        (_QUANTIZE, any(t.scale for t in inputs)),
        (_DEQUANTIZE, any(t.scale for t in outputs)),
        (_INPUT, bool(inputs)),
        (_OUTPUT, bool(outputs)),
    )
    lines = [
        f"// Runs {file_name(path)} on real values. Made by fullint inspect --snippet cpp.",
        "//",
        *(f"// {t}" for t in (*inputs, *outputs)),
        *_HEADERS.splitlines(),
        *(line for text, needed in parts if needed for line in text.splitlines()),
        "",
        "struct Outputs {",
        *(f"  {_vector(t)} {t.identifier};" for t in outputs),
        "};",
        "",
        *_run(inputs, outputs),
        "",
        *_main(inputs, outputs, path),
    ]
    return "\n".join(lines) + "\n"


def _run(inputs: Sequence[InterfaceTensor], outputs: Sequence[InterfaceTensor]) -> Iterator[str]:
    arguments = (f"const {_vector(t)}& {t.identifier}" for t in inputs)
    yield "// Sets the inputs, runs the model once, and returns the outputs."
    yield f"Outputs Run({', '.join(('tflite::Interpreter& interpreter', *arguments))}) {{"
    for t in inputs:
        value = f"{t.identifier}[i]"
        value = f"Quantize<{C_TYPES[t.dtype]}>({value}, {t.scale}f, {t.zero_point})" if t.scale else value
        pointer = f"to_{t.index}"
        yield f"  auto* const {pointer} = Input<{C_TYPES[t.dtype]}>(interpreter, {t.index}, {t.identifier}.size());"
        yield f"  for (std::size_t i = 0; i < {t.identifier}.size(); ++i) {pointer}[i] = {value};"
    yield '  if (interpreter.Invoke() != kTfLiteOk) throw std::runtime_error("the model does not run");'
    yield "  Outputs outputs;"
    for t in outputs:
        read = f"Output<{C_TYPES[t.dtype]}>(interpreter, {t.index})"
        if t.scale:
            value = f"Dequantize(code, {t.scale}f, {t.zero_point})"
            yield f"  for (const auto code : {read}) outputs.{t.identifier}.push_back({value});"
        else:
            yield f"  outputs.{t.identifier} = {read};"
    yield "  return outputs;"
    yield "}"


def _main(inputs: Sequence[InterfaceTensor], outputs: Sequence[InterfaceTensor], path: str) -> Iterator[str]:
    given = ",\n      ".join(("*interpreter", *(f"{_vector(t)}({t.size})" for t in inputs)))
    yield "int main() {"
    yield f"  const auto model = tflite::FlatBufferModel::BuildFromFile({_literal(path)});"
    yield "  if (model == nullptr) return 1;"
    yield "  tflite::ops::builtin::BuiltinOpResolver resolver;"
    yield "  std::unique_ptr<tflite::Interpreter> interpreter;"
    yield "  if (tflite::InterpreterBuilder(*model, resolver)(&interpreter) != kTfLiteOk) return 1;"
    yield "  if (interpreter->AllocateTensors() != kTfLiteOk) return 1;"
    yield f"  const Outputs outputs = Run(\n      {given});"
    yield from (f"  for (const auto value : outputs.{t.identifier}) std::cout << +value << '\\n';" for t in outputs)
    yield "}"


def _vector(t: InterfaceTensor) -> str:
    return f"std::vector<{'float' if t.scale else C_TYPES[t.dtype]}>"


def _literal(path: str) -> str:
    """A string literal; what is not plain is written as octal bytes, which end after three digits."""
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in path.encode(errors="surrogateescape"))
    return f'"{"".join(plain)}"'
