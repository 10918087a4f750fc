"""A snippet in Kotlin for Android's org.tensorflow.lite: a function `runModel` on an interpreter, with direct buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fullint.auditing.snippets.interface import InterfaceTensor, file_name, require_types


@dataclass(frozen=True)
class BufferAccess:
    """How values of a type go through a ByteBuffer.

    Attributes:
        array: Kotlin's array of them.
        size: bytes of a value.
        put: the call that writes `value`.
        get: the expression that reads the next one from `buffer`.
        put_code, get_code: the same for a code, an Int; "" where values are never codes.
    """

    array: str
    size: int
    put: str
    get: str
    put_code: str = ""
    get_code: str = ""


_ACCESS = {
    "float32": BufferAccess("FloatArray", 4, "putFloat(value)", "float"),
    "int8": BufferAccess("ByteArray", 1, "put(value)", "get()", "put(code.toByte())", "get().toInt()"),
    "uint8": BufferAccess("ByteArray", 1, "put(value)", "get()", "put(code.toByte())", "get().toInt().and(0xFF)"),
    "int16": BufferAccess("ShortArray", 2, "putShort(value)", "short", "putShort(code.toShort())", "short.toInt()"),
    "int32": BufferAccess("IntArray", 4, "putInt(value)", "int"),
    "int64": BufferAccess("LongArray", 8, "putLong(value)", "long"),
    "bool": BufferAccess("BooleanArray", 1, "put((if (value) 1 else 0).toByte())", "get() != 0.toByte()"),
}
"""The types that the Java API has."""
_QUANTIZE = """
/** The code of a real value: the nearest one (even at ties), limited to lowest..highest. */
private fun quantize(real: Float, scale: Float, zeroPoint: Int, lowest: Int, highest: Int): Int =
    (round(real / scale) + zeroPoint).coerceIn(lowest.toFloat(), highest.toFloat()).toInt()
"""
_DEQUANTIZE = """
/** The real value of a code. */
private fun dequantize(code: Int, scale: Float, zeroPoint: Int): Float = (code - zeroPoint) * scale
"""


def write(inputs: Sequence[InterfaceTensor], outputs: Sequence[InterfaceTensor], path: str) -> str:
    """The source file. A single output is returned as an array, several as a class."""
    require_types([*inputs, *outputs], _ACCESS, "Kotlin")
    parts = ((_QUANTIZE, any(t.scale for t in inputs)), (_DEQUANTIZE, any(t.scale for t in outputs)))
    lines = [
        f"// Runs {file_name(path)} on real values. Made by fullint inspect --snippet kotlin.",
        "//",
        *(f"// {t}" for t in (*inputs, *outputs)),
        "",
        "import java.nio.ByteBuffer",
        "import java.nio.ByteOrder",
        *(["import kotlin.math.round"] if any(t.scale for t in inputs) else []),
        "import org.tensorflow.lite.Interpreter",
        *(line for text, needed in parts if needed for line in text.splitlines()),
        "",
        "private fun buffer(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())",
        "",
        *(["class Outputs(", *(f"    val {_name(t)}: {_array(t)}," for t in outputs), ")", ""] if len(outputs) > 1 else []),
        *_run(inputs, outputs),
    ]
    return "\n".join(lines) + "\n"


def _run(inputs: Sequence[InterfaceTensor], outputs: Sequence[InterfaceTensor]) -> Iterator[str]:
    result = "Outputs" if len(outputs) > 1 else _array(outputs[0]) if outputs else "Unit"
    yield "/** Sets the inputs, runs the model once, and returns the outputs. Interpreter(File(path)) opens the model. */"
    yield "fun runModel("
    yield "    interpreter: Interpreter,"
    yield from (f"    {_name(t)}: {_array(t)}," for t in inputs)
    yield f"): {result} {{"
    for t in inputs:
        yield f'    require({_name(t)}.size == {t.size}) {{ "{_name(t)} has {t.size} values" }}'
        yield f"    val {_buffer(t)} = buffer({t.size * _ACCESS[t.dtype].size})"
        yield from _put(t)
        yield f"    {_buffer(t)}.rewind()"
    for t in outputs:
        yield f"    val {_buffer(t)} = buffer({t.size * _ACCESS[t.dtype].size})"
    given = ", ".join(_buffer(t) for t in inputs)
    found = ", ".join(f"{t.index} to {_buffer(t)}" for t in outputs)
    yield f"    interpreter.runForMultipleInputsOutputs(arrayOf<Any>({given}), mapOf<Int, Any>({found}))"
    yield from (f"    {_buffer(t)}.rewind()" for t in outputs)
    results = [f"{_array(t)}({t.size}) {{ {_get(t)} }}" for t in outputs]
    if len(results) > 1:
        yield "    return Outputs("
        yield from (f"        {result}," for result in results)
        yield "    )"
    else:
        yield from (f"    return {result}" for result in results)
    yield "}"


def _put(t: InterfaceTensor) -> Iterator[str]:
    access, buffer = _ACCESS[t.dtype], _buffer(t)
    if not t.scale:
        yield f"    for (value in {_name(t)}) {buffer}.{access.put}"
        return
    yield f"    for (real in {_name(t)}) {{"
    yield f"        val code = quantize(real, {t.scale}f, {t.zero_point}, {t.codes[0]}, {t.codes[1]})"
    yield f"        {buffer}.{access.put_code}"
    yield "    }"


def _get(t: InterfaceTensor) -> str:
    access = _ACCESS[t.dtype]
    if t.scale:
        return f"dequantize({_buffer(t)}.{access.get_code}, {t.scale}f, {t.zero_point})"
    return f"{_buffer(t)}.{access.get}"


def _name(t: InterfaceTensor) -> str:
    return f"{t.kind}{t.index}"


def _buffer(t: InterfaceTensor) -> str:
    return f"{t.kind}Buffer{t.index}"


def _array(t: InterfaceTensor) -> str:
    return "FloatArray" if t.scale else _ACCESS[t.dtype].array
