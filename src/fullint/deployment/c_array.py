"""A model as C sources for a microcontroller: its bytes, what it needs of memory, its quantization, its operators.

NAME.h      NAME_ARENA_BYTES, NAME_OPERATORS, NAME_ADD_OPERATORS(resolver), scales and zero points
NAME.cc     the bytes, aligned as TensorFlow Lite Micro reads them
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fullint.auditing.snippets.interface import in_comment
from fullint.delegates.micro_memory import MicroMemory, micro_memory
from fullint.errors import UsageError
from fullint.files import write_atomically
from fullint.model.ir import Tensor
from fullint.model.tflite import read_model
from fullint.version import __version__

PER_LINE = 16
ALIGNED = 16
"""Bytes that the model's address is a multiple of."""


def write_c_array(model: str | Path | bytes, name: str | Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write NAME.cc and NAME.h, and return their paths.

    Args:
        model: path or bytes of a `.tflite` that TensorFlow Lite Micro runs.
        name: path without suffix; its last part names what is in the files.
        force: whether to overwrite files that are there.

    Raises:
        UsageError: TensorFlow Lite Micro is not installed or refuses the model, or the name is none for C.
        OutputExistsError: a file is there.
    """
    sources = paths(name)
    data = model if isinstance(model, bytes) else Path(model).read_bytes()
    header, body = c_array(data, sources[0].stem)
    for path, text in zip(sources, (body, header), strict=True):
        write_atomically(path, text.encode(), over=force)
    return sources


def paths(name: str | Path) -> tuple[Path, Path]:
    """NAME.cc and NAME.h.

    Raises:
        UsageError: C has no such names.
    """
    path = Path(name)
    if not re.fullmatch(r"[A-Za-z_]\w*", path.name, re.ASCII):
        raise UsageError(f'c_array: "{path.name}" is no name in C: letters, digits and _, not a digit first, and no suffix')
    return path.with_name(f"{path.name}.cc").absolute(), path.with_name(f"{path.name}.h").absolute()


def c_array(data: bytes, name: str) -> tuple[str, str]:
    """(NAME.h, NAME.cc) of a model."""
    main = read_model(data).main
    return "\n".join(_header(data, name, micro_memory(data), main.inputs, main.outputs)), "\n".join(_body(data, name))


def _header(data: bytes, name: str, memory: MicroMemory, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Iterator[str]:
    big = name.upper()
    yield f"// Made by fullint {__version__}. {memory.source}."
    yield from (f"#ifndef {big}_H_", f"#define {big}_H_", "", "#ifdef __cplusplus", 'extern "C" {', "#endif", "")
    yield f"// The model, {len(data)} bytes of flash."
    yield from (f"extern const unsigned char {name}[];", f"extern const unsigned int {name}_len;", "")
    yield f"// The smallest arena on a 64-bit host: {memory.persistent} bytes persistent, {memory.activations} for activations"
    yield "// and scratch buffers. A microcontroller's pointers are half as long: it takes less there."
    yield from (f"#define {big}_ARENA_BYTES {memory.arena}", "")
    yield f"// tflite::MicroMutableOpResolver<{big}_OPERATORS> resolver;"
    yield f"// {big}_ADD_OPERATORS(resolver)"
    yield f"#define {big}_OPERATORS {len(memory.resolver)}"
    yield f"#define {big}_ADD_OPERATORS(resolver) \\"
    yield from (f"  (resolver).{line}; \\" for line in memory.resolver[:-1])
    yield from (f"  (resolver).{line};" for line in memory.resolver[-1:])
    yield ""
    for what, ends in (("INPUT", inputs), ("OUTPUT", outputs)):
        for i, t in enumerate(ends):
            yield f"// {what.lower()} {i}, {in_comment(t.name)}: {t.dtype}, {' x '.join(map(str, t.shape)) or 'one value'}"
            yield f"#define {big}_{what}_{i}_SIZE {t.size}"
            if t.quant is not None and t.quant.scale.size == 1:
                yield f"#define {big}_{what}_{i}_SCALE {float(t.quant.scale[0])!r}f"
                yield f"#define {big}_{what}_{i}_ZERO_POINT {int(t.quant.zero_point[0])}"
    yield from ("", "#ifdef __cplusplus", "}", "#endif", "", f"#endif  // {big}_H_", "")


def _body(data: bytes, name: str) -> Iterator[str]:
    yield from (f'#include "{name}.h"', "", f"alignas({ALIGNED}) const unsigned char {name}[] = {{")
    for at in range(0, len(data), PER_LINE):
        yield "  " + " ".join(f"0x{b:02x}," for b in data[at : at + PER_LINE])
    yield from ("};", f"const unsigned int {name}_len = {len(data)};", "")
