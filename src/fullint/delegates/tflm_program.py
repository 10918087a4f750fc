"""The program that runs models on TensorFlow Lite Micro's own kernels, in a process of its own: it may crash on a model.

    python tflm_program.py REQUEST.json

REQUEST.json: {"models": [{"model": PATH, "inputs": PATH of .npz or "", "outputs": PATH, "least": bool}], "first": N}. Each model
writes a line of JSON to RESULTS, next to the request; what TensorFlow Lite Micro says of it stands between two marks in the
output of the process.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ARENAS = (64 << 20, 1 << 30)
"""Bytes of the arenas that models are tried in, one after the other: one that is too small looks like a refusal."""
MARK = "=== fullint model"
ALIGNMENT = 16
"""Of an arena, in bytes."""


def main() -> None:
    """Run the models that are asked for, from one on."""
    from tflite_micro.python.tflite_micro import runtime

    request = Path(sys.argv[1])
    asked = json.loads(request.read_text())
    with open(request.with_name("results"), "a") as results:
        for i, one in enumerate(asked["models"]):
            if i >= asked["first"]:
                mark(i)
                results.write(json.dumps({"index": i, **answer(runtime, one)}) + "\n")
                results.flush()
    mark("end")


def mark(what: object) -> None:
    """Put a mark into what is said."""
    sys.stderr.write(f"{MARK} {what}\n")
    sys.stderr.flush()


def answer(runtime: Any, one: dict[str, Any]) -> dict[str, Any]:
    """What became of one model."""
    import numpy as np

    data = Path(one["model"]).read_bytes()
    interpreter = _loaded(runtime, data)
    if interpreter is None:
        return {"step": "load"}
    if one["inputs"]:
        with np.load(one["inputs"]) as z:
            samples = [z[f"arr_{i}"] for i in range(len(z.files))]
        made: list[Any] = []
        try:
            for sample in zip(*samples, strict=True):
                for i, value in enumerate(sample):
                    interpreter.set_input(value, i)
                interpreter.invoke()
                made.append([interpreter.get_output(i) for i in range(one["outputs_count"])])
        except Exception:
            return {"step": "run"}
        np.savez(one["outputs"], *(np.stack(rows) for rows in zip(*made, strict=True)))
    if not one["least"]:
        return {"step": ""}
    interpreter.print_allocations()
    return {"step": "", "arena": least(runtime, data)}


def _loaded(runtime: Any, data: bytes) -> Any:
    """The model in an arena that is large enough, or None."""
    for arena in ARENAS:
        try:
            return runtime.Interpreter.from_bytes(data, arena_size=arena)
        except Exception:
            continue
    return None


def least(runtime: Any, data: bytes) -> int:
    """The smallest arena that the model is allocated in, to within 16 bytes."""
    low, high = 0, ALIGNMENT
    while not _fits(runtime, data, high):
        low, high = high, 2 * high
    while high - low > ALIGNMENT:
        middle = (low + high) // (2 * ALIGNMENT) * ALIGNMENT
        low, high = (low, middle) if _fits(runtime, data, middle) else (middle, high)
    return high


def _fits(runtime: Any, data: bytes, arena: int) -> bool:
    """Whether an arena is large enough; tried in a process of its own, which one that is much too small ends."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            runtime.Interpreter.from_bytes(data, arena_size=arena)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main()
