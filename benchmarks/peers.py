"""fullint beside TensorFlow's converter and ai-edge-quantizer, in one run, as ratios.

    FULLINT_CORPUS=... python benchmarks/peers.py --envs DIR [--samples 50 200] [--models NAME ...] [--repeats 3]

The corpus brings the scripts that install the peers (peers/setup.sh), run one of them (peers/quantize.py) and make
the networks (peers/make_apps.py). Printed per network and number of samples, medians over the repeats:

    call     fullint's quantize without the certificate stage, against the peers' call
    command  the whole process, certificate and start-up included, against the peers' whole process
    float    the call against 2 x plain float inference over the same samples + 1 s
    memory   resident memory of all processes together, at its peak
    latency  of the results on XNNPACK, interleaved runs, median of the pairwise ratios

    FULLINT_CORPUS=... python benchmarks/peers.py --against COMMIT [--samples 50] [--models PATH ...] [--repeats 5]

This checkout beside another commit of fullint, in turns, in the environment this runs in: medians of the pairwise ratios (this
checkout over the commit) of the whole process's wall and CPU seconds and of its peak memory. No peers are needed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

NETWORKS = ("mobilenet_v2", "efficientnet_b0", "resnet50", "mobilenet_v3s")
OURS = """
import json, sys, fullint
result = fullint.quantize(sys.argv[1], sys.argv[2])
open(sys.argv[3], "wb").write(result.model)
seconds = result.report.seconds
print(json.dumps({"seconds": sum(v for k, v in seconds.items() if k != "certify"), "sqnr": result.report.certificate.sqnr_db}))
"""
FLOAT = """
import sys, time, threading, numpy as np
from ai_edge_litert.interpreter import Interpreter
samples = np.load(sys.argv[2])["x"]
runners = [Interpreter(sys.argv[1], num_threads=1) for _ in range(2)]
def work(runner, part):
    index = runner.get_input_details()[0]["index"]
    for s in part:
        runner.set_tensor(index, s[None])
        runner.invoke()
for r in runners:
    r.allocate_tensors()
    work(r, samples[:1])
start = time.perf_counter()
threads = [threading.Thread(target=work, args=(r, samples[i::2])) for i, r in enumerate(runners)]
[t.start() for t in threads]
[t.join() for t in threads]
print(time.perf_counter() - start)
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
    """Resident bytes of a process and all its descendants."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            text = Path(f"/proc/{one}/status").read_text()
            total += next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS")), 0)
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(c) for c in (task / "children").read_text().split()]
        except (OSError, ValueError):
            continue
    return total


def timed(command: list[str], environment: dict[str, str] | None = None) -> tuple[str, float, int]:
    """(last line printed, wall seconds, peak memory of the tree) of a command."""
    peak = 0
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out = process.communicate()[0]
    wall = time.perf_counter() - start
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return out.strip().splitlines()[-1], wall, peak


def compare(network: Path, samples: Path, envs: Path, corpus: Path, out: Path, repeats: int) -> dict[str, float]:
    """One network and one set of samples: medians of the ratios."""
    script = str(corpus / "peers" / "quantize.py")
    commands = {
        "ours": [sys.executable, "-c", OURS, str(network), str(samples), str(out / "ours.tflite")],
        "tf": [str(envs / "tf/bin/python"), script, "tf", str(network), str(samples), str(out / "tf.tflite")],
        "aeq": [str(envs / "aeq/bin/python"), script, "aeq", str(network), str(samples), str(out / "aeq.tflite")],
    }
    rows = []
    for _ in range(repeats):
        row = {}
        for name, command in commands.items():
            line, wall, peak = timed(command)
            row[name] = (json.loads(line)["seconds"], wall, peak)
        plain = float(timed([sys.executable, "-c", FLOAT, str(network), str(samples)])[0])
        row["float"] = (plain, 0.0, 0)
        rows.append(row)

    def ratio(i: int, other: str) -> float:
        return statistics.median(r["ours"][i] / r[other][i] for r in rows)

    line, _, _ = timed([sys.executable, "-c", LATENCY, str(out / "ours.tflite"), str(out / "tf.tflite")])
    pairs = json.loads(line)
    return {
        "call s": statistics.median(r["ours"][0] for r in rows),
        "call/tf": ratio(0, "tf"),
        "call/aeq": ratio(0, "aeq"),
        "command/tf": ratio(1, "tf"),
        "command/aeq": ratio(1, "aeq"),
        "call/(2 float + 1)": statistics.median(r["ours"][0] / (2 * r["float"][0] + 1) for r in rows),
        "MB": statistics.median(r["ours"][2] for r in rows) / 1e6,
        "memory/better": statistics.median(r["ours"][2] / min(r["tf"][2], r["aeq"][2]) for r in rows),
        "latency ms": 1000 * statistics.median(a for a, _ in pairs),
        "latency/tf": statistics.median(a / b for a, b in pairs),
    }


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


def spent(source: Path, model: Path, samples: Path, out: Path) -> tuple[float, float, int]:
    """(wall seconds, CPU seconds, peak memory) of one whole process of a checkout."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {
        "PYTHONPATH": str(source / "src"),
        "PYTHONPYCACHEPREFIX": str(out.parent / "bytecode"),
    }  # as installed packages have
    before = os.times()
    _, wall, peak = timed([sys.executable, "-c", OURS, str(model), str(samples), str(out)], environment)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, peak


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


def main() -> None:
    """Run the comparison and print one row per network and number of samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--envs", type=Path, help="folder of the peers' environments, made if it is not there")
    what.add_argument("--against", metavar="COMMIT", help="compare with this commit of fullint, and not with peers")
    parser.add_argument("--samples", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--models", nargs="+", help="networks of the peers' comparison; paths of models with --against")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.against:
        given = [Path(m) for m in arguments.models or ()]
        models = given or [Path(os.environ["FULLINT_CORPUS"], "models", f"{name}.tflite") for name in DEFAULT_PAIR]
        compare_commits(arguments.against, models, arguments.samples, arguments.repeats)
        return
    corpus = Path(os.environ["FULLINT_CORPUS"])
    subprocess.run(["bash", str(corpus / "peers/setup.sh"), str(arguments.envs)], check=True, stdout=subprocess.DEVNULL)
    apps = arguments.envs / "apps"
    if not all((apps / f"app_{n}.tflite").exists() for n in NETWORKS):
        apps.mkdir(exist_ok=True)
        subprocess.run([str(arguments.envs / "tf/bin/python"), str(corpus / "peers/make_apps.py"), str(apps)], check=True)
    header: list[str] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.samples:
            samples = Path(folder, f"samples{count}.npz")
            np.savez(samples, x=np.random.default_rng(0).normal(size=(count, 224, 224, 3)).astype(np.float32))
            for name in arguments.models or NETWORKS:
                row = compare(apps / f"app_{name}.tflite", samples, arguments.envs, corpus, Path(folder), arguments.repeats)
                if header is None:
                    header = list(row)
                    print("| network | samples | " + " | ".join(header) + " |\n|" + "---|" * (len(header) + 2))
                print(f"| {name} | {count} | " + " | ".join(f"{row[h]:.2f}" for h in header) + " |", flush=True)


if __name__ == "__main__":
    main()
