"""Networks that other packages ship, and torchvision's, through `fullint quantize`: seconds, operators, SQNR.

    python benchmarks/frontends.py --work DIR [--only NAME ...] > rows.jsonl
    python benchmarks/frontends.py --table rows.jsonl

The packages are downloaded by pip into DIR, without what they depend on; the networks of PyTorch are built by
packaged_networks.py and frontend_tests/torchvision_networks.py. Every network is quantized by the command, from nothing
kept; its result is run on samples that it was not calibrated on, and compared with the numbers of the framework itself:
ONNX Runtime, PyTorch, TensorFlow, or LiteRT for a .tflite.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
COUNT = 48
"""Samples to calibrate on, and as many to compare on."""
RATE = 16000
PACKAGED, TORCHVISION = HERE / "packaged_networks.py", HERE.parent / "frontend_tests" / "torchvision_networks.py"
WAYS = ("--split-outputs", "--activations int16")
"""What the command is run with again where a run has said that it helps."""
Samples = list[dict[str, np.ndarray]]
Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True)
class Network:
    """A network and how it is asked for.

    Attributes:
        name: its name in the table.
        package: what pip downloads; "" for torchvision, which the environment of PyTorch has.
        model: path inside the package, or FILE.py:FUNCTION.
        inputs: name of the generator of its inputs, and its sizes.
        options: further words of the command.
        trained: whether its weights were trained.
        feedback: outputs that are handed back to inputs, by name.
    """

    name: str
    package: str
    model: str
    inputs: tuple[str, tuple[int, ...]]
    options: tuple[str, ...] = ()
    trained: bool = True
    feedback: tuple[tuple[str, str], ...] = ()


def silero(name: str, file: str, sizes: tuple[int, ...], rate: bool) -> Network:
    open_sizes = [f"input=1,{sizes[0]}", "state=2,1,128", *(["sr="] if rate else [])]
    shapes = [w for s in open_sizes if not s.endswith("=") for w in ("--shape", s)]
    fed = (("stateN", "state"),)
    return Network(name, "silero-vad", f"silero_vad/data/{file}", ("voice", sizes), tuple(shapes), feedback=fed)


def pictures(name: str, package: str, model: str, size: tuple[int, int], kind: str = "scenes") -> Network:
    return Network(name, package, model, (kind, size), ("--shape", f"1,3,{size[0]},{size[1]}"))


def of_torchvision(function: str, size: int = 224) -> Network:
    return Network(function, "", f"{TORCHVISION}:{function}", ("scenes", (size, size)), trained=False)


OCR = "rapidocr_onnxruntime/models/"
NETWORKS = (
    Network("magika", "magika", "magika/models/standard_v3_3/model.onnx", ("files", (2048,)), ("--shape", "1,2048")),
    Network(
        "basic-pitch .onnx",
        "basic-pitch",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        ("music", (43844,)),
        ("--shape", "1,43844,1"),
    ),
    Network("basic-pitch .tflite", "basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp.tflite", ("music", (43844,))),
    Network("basic-pitch SavedModel", "basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp", ("music", (43844,))),
    silero("silero half", "silero_vad_half.onnx", (576,), False),
    silero("silero op15", "silero_vad_16k_op15.onnx", (576,), True),
    silero("silero op18 ifless", "silero_vad_op18_ifless.onnx", (576,), True),
    silero("silero openvino", "silero_vad_openvino_16k.onnx", (576,), False),
    silero("silero", "silero_vad.onnx", (576,), True),
    Network(
        "silero sequence",
        "silero-vad",
        "silero_vad/data/silero_vad_16k_sequence.onnx",
        ("voice_with_cell", (576,)),
        ("--shape", "input=1,576"),
        feedback=(("hn", "h"), ("cn", "c")),
    ),
    pictures("PP-OCR detector", "rapidocr-onnxruntime", f"{OCR}ch_PP-OCRv4_det_infer.onnx", (320, 320), "text"),
    pictures("PP-OCR recognizer", "rapidocr-onnxruntime", f"{OCR}ch_PP-OCRv4_rec_infer.onnx", (48, 320), "text"),
    pictures("PP-OCR classifier", "rapidocr-onnxruntime", f"{OCR}ch_ppocr_mobile_v2.0_cls_infer.onnx", (48, 192), "text"),
    pictures("nudenet", "nudenet", "nudenet/320n.onnx", (320, 320), "scenes01"),
    pictures("ddddocr detector", "ddddocr", "ddddocr/common_det.onnx", (416, 416), "text255"),
    Network("resemblyzer", "Resemblyzer", f"{PACKAGED}:resemblyzer", ("mels", (160, 40))),
    Network("MTCNN P", "facenet-pytorch", f"{PACKAGED}:pnet", ("scenes", (120, 120))),
    Network("MTCNN O", "facenet-pytorch", f"{PACKAGED}:onet", ("scenes", (48, 48))),
    Network("facenet", "facenet-pytorch", f"{PACKAGED}:facenet", ("scenes", (160, 160)), trained=False),
    *(
        of_torchvision(n)
        for n in "mobilenet_v3_small shufflenet_v2_x0_5 regnet_y_400mf efficientnet_b0 convnext_tiny swin_t vit_small".split()
    ),
    of_torchvision("deeplabv3_mobilenet_v3_large"),
    of_torchvision("ssdlite320_backbone", 320),
)


def scenes(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """A picture with the spectrum of natural ones (amplitude ~ 1 / frequency): 1, 3, H, W of mean 0 and deviation 1."""
    f = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    f[0, 0] = 1
    x = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(3, *size))) / f, size)
    x += x[:1]
    x = (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True)
    return x[None].astype(np.float32)


def text(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Lines of letters on paper of some grey: 1, 3, H, W, -1 to 1."""
    from PIL import Image, ImageDraw, ImageFont

    paper, ink = rng.integers(150, 255, 3), rng.integers(0, 90, 3)
    image = Image.new("RGB", (size[1], size[0]), tuple(map(int, paper)))
    draw, y = ImageDraw.Draw(image), int(rng.integers(0, 6))
    while y < size[0] - 12:
        height = size[0] - 12 if size[0] < 60 else int(min(size[0] - y, rng.integers(16, 40)))
        words = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz ABCDEFGHIJ 0123456789"), 40))
        draw.text((int(rng.integers(0, 30)), y), words, fill=tuple(map(int, ink)), font=ImageFont.load_default(height))
        y += height + int(rng.integers(4, 30))
    x = np.asarray(image, np.float32) + rng.normal(0, 6, (*size, 3))
    return (x.clip(0, 255).transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)


def sound(rng: np.random.Generator, count: int, rate: int) -> np.ndarray:
    """Notes or syllables: harmonics under a falling envelope, pauses, and a little noise."""
    t, x = np.arange(count) / rate, np.zeros(count)
    start = 0.0
    while start < count / rate:
        pitch, length = rng.uniform(90, 400), rng.uniform(0.08, 0.4)
        own = np.clip(t - start, 0, None)
        tones = sum(np.sin(2 * np.pi * pitch * k * own) / k ** rng.uniform(0.6, 1.6) for k in range(1, 12))
        x += tones * np.exp(-own / length) * (t >= start) * rng.uniform(0.05, 0.3)
        start += rng.uniform(0.1, 0.6)
    return (x + rng.normal(0, 0.003, count)).clip(-1, 1).astype(np.float32)


def content(rng: np.random.Generator, count: int) -> np.ndarray:
    """First and last bytes of a file, as magika reads them: text, code, a table, or packed bytes; 256 is padding."""
    kinds = (
        "".join(rng.choice("the of and to in is it you that he was for on are".split(), 400) + " " * 1).encode(),
        b"".join(b"def f%d(x):\n    return x + %d\n" % (i, rng.integers(99)) for i in range(60)),
        b"".join(b"%d,%.3f,%s\n" % (i, rng.normal(), rng.choice([b"yes", b"no"])) for i in range(120)),
        b"\x89PNG\r\n\x1a\n" + rng.bytes(3000),
        b"PK\x03\x04" + rng.bytes(700),
        b"<html><body>" + b"<p>words</p>" * int(rng.integers(5, 90)),
    )
    data = np.frombuffer(kinds[rng.integers(len(kinds))], np.uint8).astype(np.int32)
    half = count // 2
    found = np.full(count, 256, np.int32)
    found[: min(half, data.size)] = data[:half]
    found[-min(half, data.size) :] = data[-half:]
    return found[None]


def mels(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Energies of 40 mel bands of such sound, as the speaker encoder takes them."""
    x = sound(rng, size[0] * 160 + 400, RATE)
    frames = np.lib.stride_tricks.sliding_window_view(x, 400)[::160][: size[0]] * np.hanning(400)
    power = np.abs(np.fft.rfft(frames)) ** 2
    hz = np.linspace(0, RATE / 2, power.shape[1])
    edges = 700 * np.expm1(np.linspace(0, 2595 * np.log10(1 + 8000 / 700) / 1127, size[1] + 2))
    up, down = (hz - edges[:-2, None]) / np.diff(edges)[:-1, None], (edges[2:, None] - hz) / np.diff(edges)[1:, None]
    return (power @ np.clip(np.minimum(up, down), 0, None).T / 50)[None].astype(np.float32)


def drawn(network: Network, names: list[str], seed: int, folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of a network, one sample at a time, in the names that it has."""
    kind, size = network.inputs
    rng = np.random.default_rng(seed)
    if kind.startswith("voice"):
        chunks = sound(rng, size[0] * COUNT * 8, RATE).reshape(-1, size[0])
        state = {"h": (1, 1, 128), "c": (1, 1, 128)} if "cell" in kind else {"state": (2, 1, 128)}
        for chunk in chunks:
            found = {"input": chunk[None], **{n: np.zeros(s, np.float32) for n, s in state.items()}}
            yield {**found, **({"sr": np.array(RATE, np.int64)} if "sr" in names else {})}
        return
    pages = iter(np.load(folder / f"text_{seed}.npy") if kind.startswith("text") else ())
    makers: dict[str, Callable[[], np.ndarray]] = {
        "scenes": lambda: scenes(rng, size),
        "scenes01": lambda: (scenes(rng, size) / 4 + 0.5).clip(0, 1),
        "text": lambda: next(pages),
        "text255": lambda: (next(pages) + 1) * 127.5,
        "music": lambda: sound(rng, size[0], 22050)[None, :, None],
        "files": lambda: content(rng, size[0]),
        "mels": lambda: mels(rng, size),
    }
    for _ in range(COUNT):
        yield {names[0]: makers[kind]()}


def framework(network: Network) -> str:
    if ".py:" in network.model:
        return "torch"
    return {".onnx": "onnx", ".tflite": ""}.get(Path(network.model).suffix, "keras")


def opened(network: Network, path: str) -> tuple[list[str], list[str], Run]:
    """(inputs, outputs, a function that runs the original), in the framework's Python."""
    if framework(network) == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        inputs, outputs = ([v.name for v in vs] for vs in (session.get_inputs(), session.get_outputs()))
        return inputs, outputs, lambda x: session.run(None, x)
    if framework(network) == "torch":
        import litert_torch  # noqa: F401  (declares operators that exported programs have)
        import torch

        sys.path.insert(0, str(HERE.parent / "src" / "fullint" / "frontends" / "workers"))
        from torch_float import load

        file, function = path.rsplit(":", 1)
        module, _, names = load({"model": file, "function": function, "shapes": {}, "batch": 1})

        def run(x: dict[str, np.ndarray]) -> list[np.ndarray]:
            with torch.no_grad():
                return [t.numpy() for t in torch.utils._pytree.tree_leaves(module(*(torch.from_numpy(v) for v in x.values())))]

        return names, [], run
    if framework(network) == "keras":
        import tensorflow as tf

        call = tf.saved_model.load(path).signatures["serving_default"]
        (name,) = call.structured_input_signature[1]
        names = sorted(call.structured_outputs)
        return [name], names, lambda x: [call(**{name: tf.constant(x[name])})[n].numpy() for n in names]
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path)
    interpreter.allocate_tensors()
    ins, outs = interpreter.get_input_details(), interpreter.get_output_details()

    def invoke(x: dict[str, np.ndarray]) -> list[np.ndarray]:
        interpreter.set_tensor(ins[0]["index"], x[ins[0]["name"]])
        interpreter.invoke()
        return [interpreter.get_tensor(o["index"]) for o in outs]

    return [ins[0]["name"]], [], invoke


def inside(network: Network, path: str, folder: Path) -> None:
    """In the framework's Python: make the samples, run the original on the fresh ones, write both."""
    inputs, outputs, run = opened(network, path)
    for part, seed in (("calibration", 1), ("fresh", 2)):
        kept: Samples = []
        results: list[list[np.ndarray]] = []
        fed: dict[str, np.ndarray] = {}
        for x in drawn(network, inputs, seed, folder):
            sample = {**x, **fed}
            kept.append(sample)
            results.append(run(sample))
            fed = {to: results[-1][outputs.index(name)] for name, to in network.feedback}
        stride = max(1, len(kept) // COUNT)
        kept, results = kept[::stride], results[::stride]
        if part == "calibration":
            whole = bool(network.feedback)  # states have their own axes; a batch of 1 is left out elsewhere
            np.savez(folder / "calibration.npz", **{n: np.stack([s[n] if whole else s[n][0] for s in kept]) for n in kept[0]})
        for k, sample in enumerate(kept if part == "fresh" else ()):
            np.savez(folder / f"fresh_{k}.npz", *sample.values(), *results[k])


def result_sqnr(made: Path, folder: Path) -> list[float]:
    """SQNR of each output against the framework, in dB, over the fresh samples."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(made), num_threads=2)
    interpreter.allocate_tensors()
    ins, outs = interpreter.get_input_details(), interpreter.get_output_details()
    for k in range(COUNT):
        with np.load(folder / f"fresh_{k}.npz") as z:
            values = [z[f"arr_{i}"] for i in range(len(z.files))]
        left, expected = values[: len(ins)], values[len(ins) :]
        if k == 0:
            signal, error = np.zeros(len(expected)), np.zeros(len(expected))
        for d in ins:
            i = next(i for i, v in enumerate(left) if v.size == int(np.prod(d["shape"])))
            interpreter.set_tensor(d["index"], codes(left.pop(i), d))
        interpreter.invoke()
        found = joined([reals(interpreter.get_tensor(o["index"]), o) for o in outs], expected[0].shape, len(expected))
        for j, reference in enumerate(expected):
            i = min((i for i in range(len(found)) if found[i].size == reference.size), key=lambda i: abs(i - j))
            signal[j] += (reference.astype(np.float64) ** 2).sum()
            error[j] += ((found[i].reshape(reference.shape) - reference) ** 2).sum()
    return [round(float(10 * np.log10(s / max(e, 1e-30))), 1) for s, e in zip(signal, error, strict=True)]


def joined(parts: list[np.ndarray], shape: tuple[int, ...], count: int) -> list[np.ndarray]:
    """The outputs; parts that were split off the only one are put together again."""
    if len(parts) == count:
        return parts
    for axis in range(len(shape)):
        if all(p.ndim == len(shape) and np.delete(p.shape, axis).tolist() == np.delete(shape, axis).tolist() for p in parts):
            return [np.concatenate(parts, axis)]
    raise ValueError(f"{len(parts)} parts, of which none become {shape}")


def codes(value: np.ndarray, detail: dict) -> np.ndarray:
    """What the interpreter takes for a real value."""
    scale, zero = detail["quantization"]
    kind = np.dtype(detail["dtype"])
    value = value.reshape(detail["shape"])
    if kind.kind != "i" or scale == 0:
        return value.astype(kind)
    limits = np.iinfo(kind)
    return np.clip(np.round(value / scale) + zero, limits.min, limits.max).astype(kind)


def reals(value: np.ndarray, detail: dict) -> np.ndarray:
    scale, zero = detail["quantization"]
    return value.astype(np.float64) if scale == 0 else (value.astype(np.float64) - zero) * scale


def fetched(network: Network, work: Path) -> str:
    """The model's path, its package downloaded and unpacked."""
    if network.package:
        folder = work / "packages" / network.package
        if not folder.exists():
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(work / "wheels" / network.package)]
            subprocess.run([*pip, network.package], check=True, stderr=subprocess.DEVNULL)
            (wheel,) = (work / "wheels" / network.package).glob("*.whl")
            zipfile.ZipFile(wheel).extractall(folder)
        if ".py:" not in network.model:
            return str(folder / network.model)
    return network.model


def row(network: Network, work: Path) -> dict[str, object]:
    """All that the table says of a network."""
    from fullint.frontends import environments
    from fullint.frontends.formats import FRAMEWORKS

    model = fetched(network, work)
    folder = work / "runs" / network.name.replace(" ", "_")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for seed in (1, 2) if network.inputs[0].startswith("text") else ():  # here, where Pillow is
        rng = np.random.default_rng(seed)
        np.save(folder / f"text_{seed}.npy", [text(rng, network.inputs[1]) for _ in range(COUNT)])
    os.environ["FULLINT_PACKAGES"] = str(work / "packages")
    name = framework(network)
    python = environments.find(FRAMEWORKS[name]).python if name else sys.executable
    done = subprocess.run(
        [python, __file__, "--inside", network.name, model, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"name": network.name, "why": f"the original does not run: {done.stderr.strip().splitlines()[-1][:200]}"}
    shutil.rmtree(environments.root() / "converted", ignore_errors=True)
    out = folder / "result.tflite"
    converting, converted = 0.0, {}
    if name:
        converting, converted = command("convert", model, "-o", str(folder / "float.tflite"), *network.options)
    words = ("quantize", model, "-c", str(folder / "calibration.npz"), "-o", str(out), "--force", *network.options)
    seconds, report = command(*words)
    said = report.get("message", "") + " ".join(map(str, report.get("warnings", ())))
    helps = [w for w in WAYS if re.search(rf"{w}: ([0-9.]+ dB|all parts)", said.partition("no help")[0])]
    unasked = not helps and "operators" not in report and "lost" in said
    helps = [WAYS[-1]] if unasked else helps
    if helps:  # the run has said so, or there is nothing else to try
        seconds, report = command(*words, *(part for w in helps for part in w.split()))
    if "operators" not in report:
        return {"name": network.name, "converting": converting, "seconds": seconds, "why": report.get("message", "")[:600]}
    return {
        "name": network.name,
        "trained": network.trained,
        "converting": converting,
        "seconds": seconds,
        "converted_db": converted.get("sqnr_db"),
        "operators": report["operators"],
        "with": " ".join(helps) + (" (not named by the run)" if unasked else ""),
        "float": report["float_operators"],
        "certificate": report["certificate"]["sqnr_db"],
        "warnings": [w.get("text", w) if isinstance(w, dict) else w for w in report.get("warnings", [])][:3],
        "fresh": result_sqnr(out, folder),
    }


def command(*words: str) -> tuple[float, dict[str, Any]]:
    """Seconds that a command took, and its JSON."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "fullint", *words, "--json"], capture_output=True, text=True, check=False)
    return round(time.perf_counter() - start, 1), json.loads(done.stdout)


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The rows in Markdown; of two with the same name the later counts."""
    yield "| network | converted s | whole s | operators | with | worst output, fresh samples |"
    yield "|---|---|---|---|---|---|"
    for r in {r["name"]: r for r in rows}.values():
        name = r["name"] if r.get("trained", True) else f"{r['name']} (random weights)"
        if "operators" in r:
            assert r["float"] == 0
            yield f"| {name} | {r['converting']} | {r['seconds']} | {r['operators']} | {r['with']} | {min(r['fresh'])} dB |"
        else:
            yield f"| {name} | {r.get('converting', '')} | {r.get('seconds', '')} | | | {' '.join(r['why'].split())} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for packages, samples and results")
    parser.add_argument("--only", nargs="*", help="names of networks; all by default")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help="print rows of before as a table")
    asked = parser.parse_args()
    if asked.table:
        print("\n".join(table([json.loads(line) for line in asked.table.read_text().splitlines()])))
        return
    by_name = {n.name: n for n in NETWORKS}
    if asked.inside:
        name, path, folder = asked.inside
        inside(by_name[name], path, Path(folder))
        return
    for network in NETWORKS:
        if not asked.only or network.name in asked.only:
            print(json.dumps(row(network, asked.work.absolute())), flush=True)


if __name__ == "__main__":
    main()
