"""How often `fullint compare` puts the damaged operator first: damages planted in what several quantizers made.

    FULLINT_CORPUS=... python benchmarks/planted_damage.py --envs DIR [--networks NAME ...] [--makers fullint tf ltq]

For each network and maker (the peers each in its environment, peers/setup.sh), the result as it is, where there should be no
suspects; and `--each` times each of the damages of tests/damages.py, in operators drawn at random, on eight test samples.
Prints a line for each damage that is not found first, and a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import fullint
from fullint.errors import FullintError
from fullint.model.tflite import read_bytes, write_model

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from accuracy import Network, drawn, networks, of_peer  # noqa: E402
from damages import DAMAGES, no_bias, steps_of_bias, weighted  # noqa: E402

NAMES = ("mlperf_pretrainedResnet", "mlperf_kws_ref_model_float32", "mlperf_vww_96_float", "aeq_conv_fc_mnist")
MAKERS = ("fullint", "tf", "ltq")
SEEN, SHOWN = 64, 8


def made(maker: str, network: Network, envs: Path | None) -> bytes:
    """What a quantizer makes of a network."""
    samples = drawn(network, SEEN, 0)
    if maker == "fullint":
        return bytes(fullint.quantize(network.path, samples, min_sqnr=-100).model)
    if envs is None:
        raise SystemExit("--envs is needed for peers")
    return of_peer(maker, envs / maker / "bin" / "python", network, samples, per_tensor=False)


def judge(network: Network, maker: str, result: bytes, each: int) -> tuple[int, int, int]:
    """(damages found first, damages, suspects of the sound model)."""
    samples = network.tests[:SHOWN]
    suspects = len(fullint.compare(network.path, result, samples).suspects)
    first = count = 0
    for number in range(each * len(DAMAGES)):
        damage, draw = DAMAGES[number % len(DAMAGES)], np.random.default_rng(number)
        model = read_bytes(result)
        choice = weighted(model)
        if damage is no_bias:  # one that counts
            choice = sorted(choice, key=lambda op: -steps_of_bias(op))[: max(1, len(choice) // 2)]
        op = choice[draw.integers(len(choice))]
        damage(op, model)
        found = fullint.compare(network.path, write_model(model), samples).operators[0]
        count += 1
        first += found.output == op.outputs[0].name
        if found.output != op.outputs[0].name:
            print(f"{network.name}, {maker}: {damage.__name__} of {op.outputs[0].name}: first is {found.output}", file=sys.stderr)
    return first, count, suspects


def main(arguments: Sequence[str] | None = None) -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=NAMES)
    parser.add_argument("--makers", nargs="*", default=MAKERS, choices=MAKERS)
    parser.add_argument("--envs", type=Path)
    parser.add_argument("--each", type=int, default=2)
    args = parser.parse_args(arguments)
    total = [0, 0]
    print("| network | quantizer | damaged operator first | suspects of the sound model |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for network in networks(Path(work), os.environ.get("FULLINT_CORPUS")):
            for maker in args.makers if network.name in args.networks else ():
                try:
                    first, count, suspects = judge(network, maker, made(maker, network, args.envs), args.each)
                except (FullintError, RuntimeError) as e:
                    print(f"| {network.name} | {maker} | {str(e)[:80]} | |")
                    continue
                total = [total[0] + first, total[1] + count]
                print(f"| {network.name} | {maker} | {first} of {count} | {suspects} |", flush=True)
    print(f"| all | | {total[0]} of {total[1]} | |")


if __name__ == "__main__":
    main()
