"""Which framework a path belongs to, and the tool that converts it to a float `.tflite`.

.tflite .lite              nothing to convert
.keras .h5 .hdf5, folder   keras: TensorFlow's converter
.pt2                       torch: litert-torch
.onnx                      onnx: onnx2tf 2, and where that fails onnx2tf 1 with TensorFlow, if it was set up
module.py:function         by what the module imports
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

from fullint.errors import UsageError
from fullint.files import check_name, unreadable
from fullint.model.tflite import is_tflite

WORKERS = Path(__file__).parent / "workers"
"""The scripts that run in the environments."""


@dataclass(frozen=True)
class Framework:
    """A front end.

    Attributes:
        name: its name, as in `fullint setup`.
        title: its name in messages.
        tool: name of the converter.
        worker: the script in `workers`.
        modules: modules that must be importable.
        requirements: packages that `fullint setup` installs, in versions tested together.
        alone: packages that it installs without what they ask for, since they ask for another TensorFlow than is there.
        attempts: number of ways the worker can convert; the first with correct results is used.
        imports: modules whose import shows that a Python file belongs to this framework.
        python: the oldest Python that its packages ask for; an older one that they were tested with gets them all the same.
        second: what is tried where it fails, if that was set up.
    """

    name: str
    title: str
    tool: str
    worker: str
    modules: tuple[str, ...]
    requirements: tuple[str, ...]
    attempts: int = 1
    imports: frozenset[str] = frozenset()
    alone: tuple[str, ...] = ()
    python: tuple[int, int] = (3, 10)
    second: Framework | None = None

    @property
    def packages(self) -> tuple[str, ...]:
        """All that is installed, with versions."""
        return (*self.requirements, *self.alone)


_X86_LINUX = 'platform_system == "Linux" and platform_machine == "x86_64"'
_ELSE = 'platform_system != "Linux" or platform_machine != "x86_64"'
ONNX_BY_TENSORFLOW = Framework(
    "onnx-tensorflow",
    "ONNX",
    "onnx2tf with TensorFlow",
    "onnx_float.py",
    ("onnx2tf", "onnxruntime", "tensorflow"),
    ('onnx2tf==1.29.24; python_version < "3.12"', 'onnx2tf>=1.29,<2; python_version >= "3.12"'),
    attempts=3,
)
FRAMEWORKS: dict[str, Framework] = {
    f.name: f
    for f in (
        Framework(
            "keras",
            "Keras and TensorFlow",
            "TensorFlow's converter",
            "tensorflow_float.py",
            ("tensorflow",),
            (f"tensorflow-cpu==2.21.0; {_X86_LINUX}", f"tensorflow==2.21.0; {_ELSE}", "dm-tree==0.1.10"),
            alone=("tf_keras==2.21.0", "tensorflow-model-optimization==0.8.1"),
            imports=frozenset({"tensorflow", "keras", "tf_keras"}),
        ),
        Framework(
            "torch",
            "PyTorch",
            "litert-torch",
            "torch_float.py",
            ("torch", "litert_torch"),
            ("torch==2.13.0", "torchvision==0.28.0", "torchaudio==2.11.0", "litert-torch==0.10.0"),
            imports=frozenset({"torch", "torchvision", "torchaudio"}),
        ),
        Framework(
            "onnx",
            "ONNX",
            "onnx2tf",
            "onnx_float.py",
            ("onnx2tf", "onnxruntime"),
            ("onnx2tf==2.6.9",),
            attempts=3,
            python=(3, 12),
            second=ONNX_BY_TENSORFLOW,
        ),
    )
}
_SUFFIXES = {".keras": "keras", ".h5": "keras", ".hdf5": "keras", ".pt2": "torch", ".onnx": "onnx"}
_ELSEWHERE = {
    ".pt": "weights or a TorchScript archive; save an exported program instead: "
    "torch.export.save(torch.export.export(module, inputs), 'model.pt2')",
    ".pb": "a frozen graph of TensorFlow 1, or part of a SavedModel; give the folder that contains saved_model.pb",
    ".safetensors": "weights without a network; give module.py:function, a function that builds the network and loads them",
    ".mlmodel": "a Core ML model; convert the original model instead",
}
_ELSEWHERE[".pth"] = _ELSEWHERE[".pt"]


def to_set_up() -> dict[str, Framework]:
    """What `fullint setup` makes environments for."""
    return {f.name: f for one in FRAMEWORKS.values() for f in (one, one.second) if f is not None}


def split(source: str | Path) -> tuple[str, str | None]:
    """Split `module.py:function` into (path, function); any other path has function None."""
    text = str(source)
    path, colon, function = text.rpartition(":")
    return (path, function) if colon and path.endswith(".py") else (text, None)


def framework_of(source: str | Path, framework: str = "auto") -> Framework | None:
    """The front end that a path needs; None for a `.tflite` or an unknown suffix.

    Raises:
        UsageError: the framework is unknown, or the path cannot be converted as it is.
    """
    if framework != "auto" and framework not in FRAMEWORKS:
        raise UsageError(f'framework must be auto, {", ".join(FRAMEWORKS)}, not "{framework}"')
    check_name(source)
    path, function = split(source)
    if (why := unreadable(path)) is not None:
        raise UsageError(why)
    if function is not None:
        if framework == "onnx":
            raise UsageError("FILE.py:FUNCTION works for Keras and PyTorch models only; give the ONNX model as a .onnx file")
        return FRAMEWORKS[framework] if framework != "auto" else _by_imports(Path(path))
    if is_tflite(path):
        return None
    name = _SUFFIXES.get(Path(path).suffix.lower())
    if Path(path).is_dir():
        if not is_saved_model(path):
            raise UsageError(f"{path}: this folder is not a SavedModel: it has no saved_model.pb")
        name = "keras"
    elif Path(path).suffix.lower() in _ELSEWHERE:
        raise UsageError(f"{path}: {_ELSEWHERE[Path(path).suffix.lower()]}")
    elif path.endswith(".py"):
        raise UsageError(f"{path}: give the function that returns the model, as {path}:FUNCTION")
    if name is None:
        return None
    if framework not in ("auto", name):
        raise UsageError(f"{path} is a model of {FRAMEWORKS[name].title}, not of {FRAMEWORKS[framework].title}")
    return FRAMEWORKS[name]


def _by_imports(path: Path) -> Framework:
    """The one framework that a Python file imports."""
    try:
        tree = ast.parse(path.read_text())
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror or e}") from e
    except (SyntaxError, ValueError) as e:
        raise UsageError(f"{path} is not valid Python: {e}") from e
    names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    found = [f for f in FRAMEWORKS.values() if f.imports & names]
    if len(found) != 1:
        which = "several frameworks" if found else "no framework"
        raise UsageError(f"{path} imports {which}: set --framework (framework=) to keras or torch")
    return found[0]


def here(framework: Framework) -> bool:
    """Whether the current Python has all modules that a front end needs."""
    from importlib.util import find_spec

    return all(m in sys.modules or find_spec(m) is not None for m in framework.modules)


def is_saved_model(path: str | Path) -> bool:
    """Whether a folder is a model of TensorFlow."""
    return Path(path, "saved_model.pb").is_file()
