"""What each method of `quantize` adds to accuracy, and fullint beside other quantizers, on whole test sets.

    FULLINT_CORPUS=... python benchmarks/accuracy.py [--networks NAME ...] [--methods NAME ...] [--samples 20 200] [--draws 3]
    FULLINT_CORPUS=... python benchmarks/accuracy.py --envs DIR        and the peers, each in its environment (peers/setup.sh)

Networks: the trained ones of tests/networks on digits, and with a folder of models its twelve networks with natural data
(data/natural.py of that folder). A draw is another choice of the samples that calibrate. Every figure is an SQNR in dB,
10 log10(sum of squares of the float outputs / sum of squares of the differences), over all test samples, the mean of a
network's outputs; results run on the built-in kernels. One line of JSON for each run goes to --out, where a later call
finds what it need not run again; the tables are printed in Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import fullint.demo
from fullint import passes
from fullint.errors import FullintError
from fullint.model.ir import Model
from fullint.model.tflite import read_bytes, read_model
from fullint.options import QuantizeOptions
from fullint.passes.global_pool import whole_pool_as_mean
from fullint.quantization import decide, measure, pipeline, refinement
from fullint.quantization.equalization import Equalized
from fullint.quantization.stage_values import Request
from fullint.verification.kernel_outputs import integer_inputs, real

HERE = Path(__file__).resolve().parent
TRAINED = HERE.parent / "tests" / "networks"
MASKED = "masked"
"""The network that takes rows of digits and which of them there are, and needs samples of its own."""
TESTED = 300
PEERS: Mapping[str, tuple[str, ...]] = {"tf": (), "ltq": (), "ltq --octav": ("--octav",)}
MOST = 200.0


@dataclass(frozen=True)
class Network:
    """A float model with data of its kind.

    Attributes:
        calibration, tests: [samples, ...].
    """

    name: str
    path: Path
    calibration: np.ndarray
    tests: np.ndarray


@contextlib.contextmanager
def without_pools() -> Iterator[None]:
    """AVERAGE_POOL_2D over the whole picture stays what it is."""
    folds = tuple(rule for rule in passes.FOLDS if rule is not whole_pool_as_mean)
    assert len(folds) < len(passes.FOLDS)
    with mock.patch.object(passes, "FOLDS", folds):
        yield


@contextlib.contextmanager
def without_room() -> Iterator[None]:
    """Ranges end where the values of the samples do."""
    with mock.patch.object(measure, "with_room", lambda calibrated, ranges: {**ranges}):
        yield


@contextlib.contextmanager
def without_equalization() -> Iterator[None]:
    """Channels keep their sizes."""

    def nothing(graph, *_: object, **__: object) -> Equalized:  # type: ignore[no-untyped-def]
        return Equalized(graph, {}, ())

    with mock.patch.object(measure, "rescale", nothing):
        yield


@contextlib.contextmanager
def without_wide_streams() -> Iterator[None]:
    """Residual streams of transformers are int8, and layers that are added stay apart."""

    def apart(model: Model, *_: object) -> tuple[Model, list[object]]:
        return model, []

    def narrow(calibrated: object) -> tuple[object, dict[object, str]]:
        return calibrated, {}

    with mock.patch.object(decide, "join_layers", apart), mock.patch.object(decide, "_with_wide_streams", narrow):
        yield


@contextlib.contextmanager
def without_rounding() -> Iterator[None]:
    """Weights are rounded to the nearest code; biases are corrected all the same."""

    def all_stay(_: object, found: Sequence[object]) -> dict[object, str]:
        return {p.integer: "asked for" for p in found}  # type: ignore[attr-defined]

    with mock.patch.object(refinement, "staying", all_stay):
        yield


@contextlib.contextmanager
def without_refinement() -> Iterator[None]:
    """Weights and biases are those that ranges give."""
    with mock.patch.object(refinement, "operators_to_refine", return_value=[]):
        yield


Recipe = tuple[Callable[[], contextlib.AbstractContextManager[None]], ...]
METHODS: Mapping[str, Recipe] = {
    "min-max": (without_pools, without_room, without_equalization, without_wide_streams, without_refinement),
    "+ pools": (without_room, without_equalization, without_wide_streams, without_refinement),
    "+ room": (without_equalization, without_wide_streams, without_refinement),
    "+ equalization": (without_wide_streams, without_refinement),
    "+ wide streams": (without_refinement,),
    "+ biases": (without_rounding,),
    "+ rounding": (),
}
"""From plain min-max to what `quantize` does, a method more each time, as what is left out."""


def networks(work: Path, corpus: str | None) -> Iterator[Network]:
    """Those that there is data for."""
    digits = Path(fullint.demo.__file__).parent
    with np.load(digits / "calibration.npz") as seen, np.load(digits / "test.npz") as tests:
        images = seen["image"].astype(np.float32), tests["image"].astype(np.float32)
    for path in sorted(TRAINED.glob("*.tflite")):
        if path.stem != MASKED:
            yield Network(path.stem, path, *images)
    if corpus is None:
        return
    natural = work / "natural"
    if not natural.exists():
        subprocess.run([sys.executable, Path(corpus, "data", "natural.py"), natural], check=True)
    for file in sorted(natural.glob("*_cal.npz")):
        name = file.name.removesuffix("_cal.npz")
        with np.load(file) as seen, np.load(natural / f"{name}_test.npz") as tests:
            yield Network(name, Path(corpus, "models", f"{name}.tflite"), seen["x"], tests["x"])


def outputs(file: bytes, model: Model, tests: np.ndarray) -> list[np.ndarray]:
    """Of each output what all test samples give, float64 [samples, values]."""
    shape = tuple(max(n, 1) for n in model.main.inputs[0].shape)
    runner = Interpreter(model_content=file, num_threads=2)
    index = runner.get_input_details()[0]["index"]
    runner.resize_tensor_input(index, shape)
    runner.allocate_tensors()
    found: list[list[np.ndarray]] = [[] for _ in model.main.outputs]
    for x in tests:
        given = [np.ascontiguousarray(x.reshape(shape))]
        runner.set_tensor(index, (integer_inputs(model, given) if not model.main.inputs[0].is_float else given)[0])
        runner.invoke()
        for rows, t, detail in zip(found, model.main.outputs, runner.get_output_details(), strict=True):
            y = runner.get_tensor(detail["index"])
            rows.append(np.ravel(y if t.is_float else real(y, t)).astype(np.float64))
    return [np.array(rows) for rows in found]


def sqnr(expected: Sequence[np.ndarray], got: Sequence[np.ndarray]) -> float:
    """Mean of the outputs, dB."""
    each = [np.square(a).sum() / max(np.square(a - b).sum(), 1e-30) for a, b in zip(expected, got, strict=True)]
    return round(min(float(np.mean(10 * np.log10(each))), MOST), 2)


def ours(network: Network, samples: np.ndarray, *, per_tensor: bool, recipe: Recipe, seed: int) -> bytes:
    """The file, not judged by a certificate: the test set does that here."""
    options = QuantizeOptions(model=network.path, samples=samples, per_tensor=per_tensor, seed=seed)
    options.check()
    with contextlib.ExitStack() as stack:
        for left_out in recipe:
            stack.enter_context(left_out())
        written = pipeline.run(pipeline.QUANTIZE[:-1], Request(options), None)
    return bytes(written.data)


def of_peer(peer: str, python: Path, network: Network, samples: np.ndarray, *, per_tensor: bool) -> bytes:
    """What a peer's own code makes of the same samples."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder, "samples.npz"), Path(folder, "out.tflite")
        np.savez(given, x=samples)
        script = Path(os.environ["FULLINT_CORPUS"], "peers", "quantize.py")
        command = [python, script, peer.split()[0], network.path, given, out, *PEERS[peer]]
        done = subprocess.run([*command, *["--per-tensor"] * per_tensor], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["it crashed"])[-1][:120])
        return out.read_bytes()


def drawn(network: Network, count: int, draw: int) -> np.ndarray:
    """Samples that calibrate."""
    order = np.random.default_rng(draw).permutation(len(network.calibration))
    return network.calibration[order[:count]]


def run(args: argparse.Namespace, chosen: Sequence[Network], methods: Sequence[str]) -> list[dict[str, object]]:
    """A line for each run."""
    done = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    known = {(d["network"], d["method"], d["per_tensor"], d["samples"], d["draw"]) for d in done}
    for network in chosen:
        expected = None
        for per_tensor, count, draw, method in (
            (p, c, d, m) for p in (False, True) for c in args.samples for d in range(args.draws) for m in methods
        ):
            key = {"network": network.name, "method": method, "per_tensor": per_tensor, "samples": count, "draw": draw}
            if tuple(key.values()) in known:
                continue
            samples = drawn(network, count, draw)
            tests = network.tests[:TESTED]
            if expected is None:
                file = network.path.read_bytes()
                expected = outputs(file, read_model(network.path), tests)
            try:
                if method in METHODS:
                    result = ours(network, samples, per_tensor=per_tensor, recipe=METHODS[method], seed=draw)
                else:
                    python = args.envs / method.split()[0] / "bin" / "python"
                    result = of_peer(method, python, network, samples, per_tensor=per_tensor)
                line = {**key, "db": sqnr(expected, outputs(result, read_bytes(result), tests))}
            except (FullintError, RuntimeError, ValueError) as e:
                line = {**key, "db": None, "why": str(e)[:200]}
            done.append(line)
            with args.out.open("a") as out:
                out.write(json.dumps(line) + "\n")
            print(line, file=sys.stderr)
    return done


def mean(lines: Iterable[Mapping[str, object]], **wanted: object) -> float | None:
    """Over the draws; None where one failed."""
    found = [d["db"] for d in lines if all(d[k] == v for k, v in wanted.items())]
    return statistics.mean(found) if found and None not in found else None  # type: ignore[type-var]


def text(value: float | None) -> str:
    """A cell."""
    return "–" if value is None else f"{value:.1f}"


def print_tables(lines: Sequence[Mapping[str, object]], args: argparse.Namespace, names: Sequence[str]) -> None:
    """A row for each network, per channel / per tensor; with peers the lead over the best of them."""
    peers = [m for m in PEERS if any(d["method"] == m for d in lines)]
    methods = [m for m in METHODS if any(d["method"] == m for d in lines)]
    for count in args.samples:
        print(f"\n{count} samples, mean of {args.draws} draws, per channel / per tensor\n")
        print("| network | " + " | ".join([*methods, *peers, *(["lead"] if peers else [])]) + " |")
        print("|---" * (1 + len(methods) + len(peers) + bool(peers)) + "|")
        leads: list[list[float]] = [[], []]
        for name in names:
            cells = [[mean(lines, network=name, method=m, per_tensor=p, samples=count) for p in (False, True)] for m in methods]
            others = [[mean(lines, network=name, method=m, per_tensor=p, samples=count) for p in (False, True)] for m in peers]
            row = [" / ".join(map(text, cell)) for cell in (*cells, *others)]
            if peers:
                best = [max((o[p] for o in others if o[p] is not None), default=None) for p in (0, 1)]
                lead = [a - b if a is not None and b is not None else None for a, b in zip(cells[-1], best, strict=True)]
                row.append(" / ".join(map(text, lead)))
                for kept, value in zip(leads, lead, strict=True):
                    kept += [value] if value is not None else []
            print(f"| {name} | " + " | ".join(row) + " |")
        middle = [[mean_of(lines, names, m, p, count) for p in (False, True)] for m in methods]
        rest = " |" * (len(peers) + bool(peers))
        print("| mean | " + " | ".join(" / ".join(map(text, cell)) for cell in middle) + " |" + rest)
        if any(leads):
            said = " / ".join(f"median {statistics.median(v):.1f}, least {min(v):.1f}" for v in leads if v)
            print(f"\nLead over the best peer: {said}")


def mean_of(
    lines: Sequence[Mapping[str, object]], names: Sequence[str], method: str, per_tensor: bool, count: int
) -> float | None:
    """Over the networks that the method has a figure for."""
    found = [mean(lines, network=n, method=method, per_tensor=per_tensor, samples=count) for n in names]
    known = [v for v in found if v is not None]
    return statistics.mean(known) if known else None


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*")
    parser.add_argument("--methods", nargs="*", choices=[*METHODS, *PEERS])
    parser.add_argument("--samples", nargs="*", type=int, default=[20, 200])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--envs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("accuracy.jsonl"))
    args = parser.parse_args()
    methods = args.methods or [*METHODS, *(PEERS if args.envs is not None else ())]
    with tempfile.TemporaryDirectory() as work:
        found = list(networks(Path(work), os.environ.get("FULLINT_CORPUS")))
        chosen = [n for n in found if not args.networks or n.name in args.networks]
        if args.networks and len(chosen) < len(args.networks):
            parser.error(f"networks there are: {', '.join(n.name for n in found)}")
        print_tables(run(args, chosen, methods), args, [n.name for n in chosen])


if __name__ == "__main__":
    main()
