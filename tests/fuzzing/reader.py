"""The reader of models under a fuzzer that looks at which lines of code an input reaches (atheris, libFuzzer).

cd tests; python -m fuzzing.reader CORPUS [-max_total_time=SECONDS] [other options of libFuzzer]

Seeds are written to CORPUS, which also keeps the inputs that reach new lines. A finding ends the run with a traceback, and leaves
the input as crash-….
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fullint.model", "fullint.ops.structure", "fullint.ops.control_flow"]):
    from fullint.errors import FullintError
    from fullint.model.tflite import read_bytes, write_model
    from fullint.ops.structure import check_readable

SEEDS = 60


def one(data: bytes) -> None:
    """Read, check and write one input; a FullintError is a good answer."""
    try:
        model = read_bytes(data)
        check_readable(model)
        write_model(model)
    except FullintError:
        return


def main() -> None:
    """Write the seeds, and fuzz."""
    from fuzzing.seeds import a_model

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    for number in range(SEEDS):
        data = a_model(rng)
        if len(data) < 20_000:
            (folder / f"seed-{number}").write_bytes(data)
    atheris.Setup([sys.argv[0], str(folder), "-max_len=20000", *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
