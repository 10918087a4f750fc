"""What all workers do alike: call the user's function, and write down what was found.

A worker runs as a script in another environment, where this folder is on the path and fullint is not.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def request() -> dict[str, Any]:
    """What REQUEST.json asks for: model, function, folder, batch, shapes by input ("" is the only one), attempt."""
    found: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return found


class Refused(ValueError):
    """What the user can mend, in a sentence: no traceback is needed."""


def answered(main: Callable[[], None]) -> None:
    """Run a worker; a refusal goes to refused.txt."""
    try:
        main()
    except Refused as e:
        (Path(request()["folder"]) / "refused.txt").write_text(str(e))
        sys.exit(3)


def called(path: str, function: str) -> Any:
    """What a function of a Python file returns; the file may import its neighbours."""
    sys.path.insert(0, str(Path(path).absolute().parent))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, function, None)):
        raise Refused(f"{path} has no function {function}")
    return getattr(module, function)()


def shape_of(shapes: Mapping[str, Sequence[int]], name: str, only: bool) -> Sequence[int] | None:
    """The shape that was asked for an input, if any; "" stands for the only one."""
    return shapes.get(name, shapes.get("") if only else None)


def drawn(shapes: Sequence[tuple[Sequence[int], str]]) -> list[Any]:
    """A random sample: normal numbers; whole ones are 0 or 1, which every embedding has."""
    import numpy as np

    rng = np.random.default_rng(0)
    kinds = [(tuple(shape), np.dtype(dtype)) for shape, dtype in shapes]
    return [(rng.normal(size=s) if d.kind == "f" else rng.integers(0, 2, s)).astype(d) for s, d in kinds]


def write(
    folder: Path,
    names: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]],
    values: tuple[Sequence[Any], Sequence[Any]],
    versions: Mapping[str, str],
) -> None:
    """check.npz and facts.json.

    Args:
        folder: where they go.
        names: of inputs and outputs: (the user's, the one in the signature).
        values: a sample, and what the framework makes of it, as arrays.
        versions: of the tool and what it rests on.
    """
    import numpy as np

    arrays = {f"{what}{i}": a for what, group in zip(("input", "output"), values, strict=True) for i, a in enumerate(group)}
    with open(folder / "check.npz", "wb") as f:
        np.savez(f, allow_pickle=False, **arrays)
    facts = {"inputs": names[0], "outputs": names[1], "versions": versions}
    (folder / "facts.json").write_text(json.dumps(facts))
