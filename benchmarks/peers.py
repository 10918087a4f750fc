"""fullint beside TensorFlow's converter and litert-quantizer, in one run, as ratios of whole processes.

    FULLINT_CORPUS=... python benchmarks/peers.py --envs DIR [--samples 50 200] [--models NAME ...] [--repeats 3]
        [--keep] [--check]

The corpus brings the scripts that install the peers (peers/setup.sh), run one of them (peers/quantize.py) and make
the networks (peers/make_apps.py). The limit is a process that loads LiteRT and runs the float model over the samples with two
threads: no tool that calibrates on them can be faster. Printed per network and number of samples, medians over the repeats:

    limit     its wall seconds
    fast      `fullint quantize --effort fast`: wall seconds, and what they are of those of litert-quantizer, of TensorFlow's, and
              of the goal, 1.25 x the limit + 0.25 s
    balanced  the same with the default effort, against `fast`
    CPU       seconds of `fast`, and of the limit
    memory    resident memory of all processes together at its peak (what they share counts once), against the limit's + the model
    latency   of the results on XNNPACK, against TensorFlow's: interleaved runs, median of the pairwise ratios

A second table says where the wall seconds of both efforts go, of the run with the median time: what is outside of all stages
(Python's start, imports, ending), and each stage; and, for `fast`, what the goal leaves for them.

Without FULLINT_CORPUS there are no peers, and the network is a made one, shaped like a MobileNet.

--keep writes the table to benchmarks/peers.json; --check prints each row beside the one that is kept there, and names what takes
more than 10 % more than it did, measured by the limit of the same run (exit 1). `make bench` does the latter.

    FULLINT_CORPUS=... python benchmarks/peers.py --against COMMIT [--samples 50] [--models PATH ...] [--repeats 5]

This checkout beside another commit of fullint, in turns, in the environment this runs in: medians of the pairwise ratios (this
checkout over the commit) of the whole process's wall and CPU seconds and of its peak memory. No peers are needed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

EFFORTS = ("fast", "balanced")
NETWORKS = ("mobilenet_v2", "efficientnet_b0", "resnet50", "mobilenet_v3s")
OURS = """
import sys, fullint
open(sys.argv[3], "wb").write(fullint.quantize(sys.argv[1], sys.argv[2]).model)
"""
LIMIT = """
import sys, threading, numpy as np
from ai_edge_litert.interpreter import Interpreter
samples = np.load(sys.argv[2])["x"]
def work(part):
    runner = Interpreter(sys.argv[1], num_threads=1)
    runner.allocate_tensors()
    index = runner.get_input_details()[0]["index"]
    for s in part:
        runner.set_tensor(index, s[None])
        runner.invoke()
threads = [threading.Thread(target=work, args=(samples[i::2],)) for i in range(2)]
[t.start() for t in threads]
[t.join() for t in threads]
"""
LATENCY = """
import json, sys, time, numpy as np
from ai_edge_litert.interpreter import Interpreter
runners = []
for path in sys.argv[1:]:
    r = Interpreter(path, num_threads=1)
    r.allocate_tensors()
    d = r.get_input_details()[0]
    r.set_tensor(d["index"], np.random.default_rng(0).integers(-128, 128, d["shape"]).astype(d["dtype"]))
    for _ in range(5):
        r.invoke()
    runners.append(r)
rows = []
for _ in range(200):
    row = []
    for r in runners:
        start = time.perf_counter()
        r.invoke()
        row.append(time.perf_counter() - start)
    rows.append(row)
print(json.dumps(rows))
"""


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and all its descendants; what they share, such as mapped files, counts once (PSS)."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(c) for c in (task / "children").read_text().split()]
        except (OSError, ValueError):
            continue
    return total


class Cost(NamedTuple):
    """Of a whole process and its children: seconds of wall and CPU, bytes at the peak, and what it printed."""

    wall: float
    cpu: float
    memory: int
    said: str = ""


def cost_of(command: list[str], more: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end, with more variables; Python may write bytecode, as installed packages have it."""
    peak = 0
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | dict(more or {})
    before, start = os.times(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    printed, said = process.communicate()
    wall, after = time.perf_counter() - start, os.times()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed: {said[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall, cpu, peak, printed)


def accepted_losses(ours: list[str]) -> list[str]:
    """Options that accept what cannot be kept of random weights: class scores that hardly move."""
    accepted: list[str] = []
    for effort in EFFORTS:
        command = [*ours, "--effort", effort, *accepted, "--json"]
        lost = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout).get("lost", [])
        accepted += [word for part in lost for word in ("--allow-lost", part)]
    return accepted


def made_network() -> bytes:
    """13 pairs of a DEPTHWISE_CONV_2D and a CONV_2D, random weights."""
    from fullint.ops.builder import Builder

    g = Builder(0)
    x = g.conv(g.input(1, 224, 224, 3), 16, stride=2, activation="RELU6")
    for filters, stride in zip(
        (32, 64, 64, 128, 128, *[256] * 6, 512, 512), (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), strict=True
    ):
        x = g.conv(g.depthwise(x, stride=stride, activation="RELU6"), filters, kernel=1, activation="RELU6")
    pooled = g.op("MEAN", x, g.const(np.array([1, 2], np.int32)), shape=(1, 512), keep_dims=False)
    g.output(g.dense(pooled, 100))
    return g.bytes()


def compare(
    network: Path, samples: Path, peers: Mapping[str, list[str]], out: Path, repeats: int
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """One network and one set of samples: medians, and where the time of a run with each effort goes.

    Args:
        network: a float model.
        samples: `.npz` with one array.
        peers: name -> command, to which model, samples and output are added.
        out: a folder.
        repeats: runs of each.
    """
    data = [str(network), str(samples)]
    ours = [sys.executable, "-m", "fullint", "quantize", data[0], "-c", data[1], "-o", str(out / "ours.tflite"), "--force"]
    ours += accepted_losses(ours)
    commands = {"limit": [sys.executable, "-c", LIMIT, *data]}
    commands |= {effort: [*ours, "--effort", effort, "--json"] for effort in EFFORTS}
    commands |= {name: [*words, *data, str(out / f"{name}.tflite")] for name, words in peers.items()}
    rows = [{name: cost_of(command) for name, command in commands.items()} for _ in range(repeats + 1)][1:]

    def median(figure: Callable[[dict[str, Cost]], float]) -> float:
        return statistics.median(map(figure, rows))

    found = {
        "limit s": median(lambda r: r["limit"].wall),
        "fast s": median(lambda r: r["fast"].wall),
        "fast/goal": median(lambda r: r["fast"].wall / (1.25 * r["limit"].wall + 0.25)),
        "balanced s": median(lambda r: r["balanced"].wall),
        "CPU s": median(lambda r: r["fast"].cpu),
        "CPU/limit": median(lambda r: r["fast"].cpu / r["limit"].cpu),
        "MB": median(lambda r: r["fast"].memory / 1e6),
        "MB/(limit + model)": median(lambda r: r["fast"].memory / (r["limit"].memory + network.stat().st_size)),
    }
    for name in peers:
        found[f"fast/{name}"] = median(lambda r, name=name: r["fast"].wall / r[name].wall)
        found[f"balanced/{name}"] = median(lambda r, name=name: r["balanced"].wall / r[name].wall)
    if "tf" in peers:
        found["latency/tf"] = beside(out / "ours.tflite", out / "tf.tflite")
    middle = {effort: sorted(rows, key=lambda r, e=effort: r[e].wall)[len(rows) // 2] for effort in EFFORTS}
    profiles = {effort: stages(row[effort]) for effort, row in middle.items()}
    profiles["fast"] = {"goal": 1.25 * middle["fast"]["limit"].wall + 0.25, **profiles["fast"]}
    return found, profiles


def stages(run: Cost) -> dict[str, float]:
    """Wall seconds of a run, all and by stage of the command."""
    spent = json.loads(run.said)["seconds"]
    return {"all": run.wall, "outside": run.wall - sum(spent.values()), **spent}


def beside(one: Path, other: Path) -> float:
    """Median of the ratios of two models' times, in turns."""
    done = subprocess.run([sys.executable, "-c", LATENCY, str(one), str(other)], check=True, capture_output=True, text=True)
    return statistics.median(a / b for a, b in json.loads(done.stdout))


KEPT = Path(__file__).with_name("peers.json")
SLOWER = 1.1
"""How many times the last kept figure, measured by the limit of its run, is too much."""


def slower(rows: Mapping[str, Mapping[str, float]], kept: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What takes more than it did, in sentences."""
    found = []
    for name in rows.keys() & kept.keys():
        now, then = rows[name], kept[name]
        for what in ("fast", "balanced"):
            ratio = (now[f"{what} s"] / now["limit s"]) / (then[f"{what} s"] / then["limit s"])
            if ratio > SLOWER:
                found.append(f"{name}: {what} takes {ratio:.2f} times what it took, measured by the limit")
        if now["MB"] > SLOWER * then["MB"]:
            found.append(f"{name}: {now['MB']:.0f} MB, and not {then['MB']:.0f}")
    return sorted(found)


HERE = Path(__file__).parents[1]
DEFAULT_PAIR = (
    "mlperf_pretrainedResnet",
    "mlperf_vww_96_float",
    "t2o_mobilenet_v1_0_25_128",
    "mp_palm_detection_lite",
    "kwt_non_stream",
)
"""Models of the corpus that two commits are compared on."""


def draw(model: Path, count: int, out: Path) -> None:
    """Random samples of a model's inputs."""
    import fullint

    rng = np.random.default_rng(0)
    inputs = fullint.read_model(model).main.inputs
    np.savez(out, **{t.name: rng.normal(size=(count, *(max(n, 1) for n in t.shape))).astype(np.float32) for t in inputs})


def spent(source: Path, model: Path, samples: Path, out: Path) -> Cost:
    """One whole process of a checkout."""
    paths = {"PYTHONPATH": str(source / "src"), "PYTHONPYCACHEPREFIX": str(out.parent / "bytecode")}
    return cost_of([sys.executable, "-c", OURS, str(model), str(samples), str(out)], paths)


def compare_commits(commit: str, models: list[Path], counts: list[int], repeats: int) -> None:
    """This checkout beside another commit, run by run."""
    print("| network | samples | wall s | wall | CPU | memory | same bytes |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder, "other")
        subprocess.run(["git", "worktree", "add", "-q", "--detach", str(other), commit], cwd=HERE, check=True)
        try:
            for model in models:
                for count in counts:
                    samples, ours, theirs = (Path(folder, n) for n in ("samples.npz", "ours.tflite", "theirs.tflite"))
                    draw(model, count, samples)
                    pairs = [
                        (spent(HERE, model, samples, ours), spent(other, model, samples, theirs)) for _ in range(repeats + 1)
                    ][1:]
                    wall, cpu, memory = (statistics.median(a[i] / b[i] for a, b in pairs) for i in range(3))
                    same = "yes" if ours.read_bytes() == theirs.read_bytes() else "no"
                    seconds = statistics.median(a[0] for a, _ in pairs)
                    print(
                        f"| {model.stem} | {count} | {seconds:.2f} | {wall:.2f} | {cpu:.2f} | {memory:.2f} | {same} |", flush=True
                    )
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(other)], cwd=HERE, check=False)


def prepared(envs: Path, folder: Path) -> tuple[dict[str, list[str]], dict[str, Path]]:
    """Commands of the peers, and the networks, by name."""
    if not os.environ.get("FULLINT_CORPUS"):
        made = folder / "made.tflite"
        made.write_bytes(made_network())
        return {}, {"made": made}
    scripts, apps = Path(os.environ["FULLINT_CORPUS"], "peers"), envs / "apps"
    subprocess.run(["bash", str(scripts / "setup.sh"), str(envs)], check=True, stdout=subprocess.DEVNULL)
    if not all((apps / f"app_{n}.tflite").exists() for n in NETWORKS):
        apps.mkdir(exist_ok=True)
        subprocess.run([str(envs / "tf/bin/python"), str(scripts / "make_apps.py"), str(apps)], check=True)
    peers = {name: [str(envs / name / "bin/python"), str(scripts / "quantize.py"), name] for name in ("ltq", "tf")}
    return peers, {n: apps / f"app_{n}.tflite" for n in NETWORKS}


def main() -> None:
    """Run the comparison and print one row per network and number of samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--envs", type=Path, help="folder of the peers' environments, made if it is not there")
    task.add_argument("--against", metavar="COMMIT", help="compare with this commit of fullint, and not with peers")
    parser.add_argument("--samples", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--models", nargs="+", help="networks of the peers' comparison; paths of models with --against")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write the table to benchmarks/peers.json")
    parser.add_argument("--check", action="store_true", help="compare with the table that is kept there")
    arguments = parser.parse_args()
    if arguments.against:
        given = [Path(m) for m in arguments.models or ()]
        models = given or [Path(os.environ["FULLINT_CORPUS"], "models", f"{name}.tflite") for name in DEFAULT_PAIR]
        compare_commits(arguments.against, models, arguments.samples, arguments.repeats)
        return
    rows: dict[str, dict[str, float]] = {}
    profiles: dict[str, dict[str, float]] = {}
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        peers, networks = prepared(arguments.envs, Path(folder))
        for count in arguments.samples:
            samples = Path(folder, f"samples{count}.npz")
            np.savez(samples, x=np.random.default_rng(0).normal(size=(count, 224, 224, 3)).astype(np.float32))
            for name in arguments.models or networks:
                what = f"{name}, {count} samples"
                row, each = compare(networks[name], samples, peers, Path(folder), arguments.repeats)
                profiles |= {f"{what}, {effort}": profile for effort, profile in each.items()}
                if not rows:
                    print("| network | samples | " + " | ".join(row) + " |\n|" + "---|" * (len(row) + 2))
                rows[what] = row
                print(f"| {name} | {count} | " + " | ".join(f"{x:.2f}" for x in row.values()) + " |", flush=True)
                if arguments.check and (then := kept.get(what)):
                    print("| kept | | " + " | ".join(f"{then.get(h, math.nan):.2f}" for h in row) + " |", flush=True)
    heads = list(dict.fromkeys(head for profile in profiles.values() for head in profile))
    print("\n| seconds | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for name, profile in profiles.items():
        print(f"| {name} | " + " | ".join(f"{profile[h]:.2f}" if h in profile else "" for h in heads) + " |")
    if arguments.keep:
        KEPT.write_text(json.dumps({**kept, **rows}, indent=1) + "\n")
    found = slower(rows, kept) if arguments.check else []
    print("".join(f"\n{line}" for line in found), end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
