"""What all workers share: reading the request, calling the user's function, and writing the results.

A worker runs as a script in another environment, where this folder is on the path and fullint is not installed.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def request() -> dict[str, Any]:
    """The contents of REQUEST.json: model, function, folder, batch, shapes by input ("" for the only one), attempt."""
    found: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return found


STACK = ("Traceback", "Stack trace", "File ", "Arguments received by", "Call arguments received by", "Original exception")
"""What begins a part of a message that says nothing about the model."""
MOST_LINES, MOST_TEXT = 8, 1200


class Refused(ValueError):
    """An error that the user can fix; its message is shown without a traceback."""


def answered(main: Callable[[], None]) -> None:
    """Run a worker; the message of `Refused` is written to refused.txt, that of any other error to failed.txt."""
    folder = Path(request()["folder"])
    try:
        main()
    except Refused as e:
        (folder / "refused.txt").write_text(str(e))
        sys.exit(3)
    except Exception as e:
        (folder / "failed.txt").write_text(f"{type(e).__name__}: {sentence(e)}")
        raise


def sentence(error: Exception) -> str:
    """The informative lines of a message; TensorFlow's also list every location in the graph, and the stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "error:" in line or "is neither a custom op" in line or "Flex ops:" in line]
    if not said:
        end = next((i for i, line in enumerate(lines) if line.startswith(STACK)), len(lines))
        said = lines[: max(end, 1)]
    text = "\n  ".join(dict.fromkeys(said[:MOST_LINES])) or type(error).__name__
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} …"


def called(path: str, function: str) -> Any:
    """Call a function of a Python file, which may import modules from its own folder, and return its result.

    Raises:
        Refused: there is no such function, or a module is missing.
    """
    sys.path.insert(0, str(Path(path).absolute().parent))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, function, None)):
            raise Refused(f"{path} has no function {function}")
        return getattr(module, function)()
    except ModuleNotFoundError as e:
        raise Refused(
            f"{path} needs the module {e.name}, which this environment does not have; this brings most: "
            f"{sys.executable} -m pip install {(e.name or '').partition('.')[0]}"
        ) from e


def shape_of(shapes: Mapping[str, Sequence[int]], name: str, only: bool) -> Sequence[int] | None:
    """The shape requested for an input, or None; "" stands for the only input."""
    return shapes.get(name, shapes.get("") if only else None)


def given(folder: Path) -> dict[str, Any]:
    """The user's first sample, as far as there is one: arrays by input name, or by position."""
    import numpy as np

    path = folder / "given.npz"
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as z:
        return {n.partition(" ")[2]: z[n] for n in z.files}


def drawn(
    shapes: Sequence[tuple[Sequence[int], str]], names: Sequence[str] = (), sample: Mapping[str, Any] | None = None
) -> list[Any]:
    """The arrays to compare results on: the user's sample, where it fits, else random.

    Random are standard normal values; 0 or 1 for integers, which are valid indices of every embedding.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    found = []
    for i, (shape, dtype) in enumerate(shapes):
        size, kind = tuple(shape), np.dtype(dtype)
        value = (rng.normal(size=size) if kind.kind == "f" else rng.integers(0, 2, size)).astype(kind)
        own = (sample or {}).get(names[i] if i < len(names) else "", (sample or {}).get(str(i)))
        if own is not None and own.size == value.size and (kind.kind == "f" or own.dtype.kind != "f"):
            value = own.reshape(size).astype(kind)
        found.append(value)
    return found


def write(
    folder: Path,
    names: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]],
    values: tuple[Sequence[Any], Sequence[Any]],
    versions: Mapping[str, str],
) -> None:
    """Write check.npz and facts.json.

    Args:
        folder: the folder to write to.
        names: (original name, name in the signature) of each input and of each output.
        values: the arrays of a sample, and the framework's outputs for it.
        versions: package -> version.
    """
    import numpy as np

    arrays = {f"{what}{i}": a for what, group in zip(("input", "output"), values, strict=True) for i, a in enumerate(group)}
    with open(folder / "check.npz", "wb") as f:
        np.savez(f, allow_pickle=False, **arrays)
    facts = {"inputs": names[0], "outputs": names[1], "versions": versions}
    (folder / "facts.json").write_text(json.dumps(facts))
