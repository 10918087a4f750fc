"""The house rules that can be checked: who imports whom, how long things are, what is said once, what is not said."""

import ast
import re
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from fullint.model.tflite import schema

ROOT = Path(__file__).parents[1]
HOME = ROOT / "src" / "fullint"
SOURCES = sorted(HOME.rglob("*.py"))
ROOMS = (
    "version",
    "errors",
    "printable",
    "temporary",
    "files",
    "limits",
    "targets",
    "options",
    "documents",
    "reporting",
    "model",
    "ops",
    "runtime",
    "cluster",
    "passes",
    "calibration",
    "verification",
    "delegates",
    "auditing",
    "frontends",
    "quantization",
    "sensitivities",
    "comparing",
    "repairing",
    "deployment",
    "pages",
    "fleets",
    "compat",
    "demo",
    "cli",
)
"""From the bottom up: a room imports from those before it, and from itself."""
LONGEST_FILE, LONGEST_CLASS, LONGEST_FUNCTION = 400, 200, 60
TABLES = ("ops",)
OPERATORS_AT_HOME = ("ops/", "passes/", "delegates/", "auditing/rules/", "model/tflite/")
"""Where operators may be called by their names; anywhere else a name is a fact that belongs in the table."""
LITERALS_LEFT = {
    "auditing/layer_names.py": 4,
    "auditing/saturation.py": 2,
    "calibration/collect.py": 1,
    "calibration/observed.py": 3,
    "calibration/probes.py": 13,
    "quantization/report_document.py": 1,
    "deployment/logs/analysis.py": 1,
    "frontends/match_interface.py": 3,
    "model/census.py": 1,
    "quantization/assignment.py": 1,
    "quantization/emit.py": 6,
    "quantization/emit_codes.py": 2,
    "quantization/feasibility.py": 2,
    "quantization/given_ranges.py": 1,
    "quantization/io_types.py": 3,
    "quantization/scale_sharing.py": 2,
    "quantization/streams.py": 2,
    "quantization/useful_ranges.py": 1,
    "repairing/interval_bounds.py": 7,
    "repairing/lift.py": 5,
    "runtime/worker.py": 1,
    "verification/contract.py": 1,
}
"""Operators' names that are left elsewhere: most are operators that fullint itself puts in."""


def name_of(path: Path) -> str:
    return str(path.relative_to(HOME))


def room(path: Path) -> str:
    return path.relative_to(HOME).with_suffix("").parts[0]


def dotted(path: Path) -> str:
    parts = ("fullint", *path.relative_to(HOME).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(p): p for p in SOURCES}


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules of fullint that a file imports, where it runs (not for type checking only)."""
    found = set()
    tree = ast.parse(path.read_text())
    guarded = {n for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test) for n in ast.walk(i)}
    for node in ast.walk(tree):
        if node not in guarded and isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fullint":
            inside = {f"{node.module}.{a.name}" for a in node.names} & set(MODULES)
            found |= inside or {str(node.module)}
    return frozenset(found)


def test_every_room_has_its_place() -> None:
    there = {room(p) for p in SOURCES} - {"__init__", "__main__"}
    assert there == set(ROOMS)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    """A module imports from its own room or from lower ones."""
    own = room(path)
    if own in ("__init__", "__main__"):
        return
    for name in imports(path):
        other = name.split(".")[1] if "." in name else "__init__"
        assert other in ROOMS, f"{name_of(path)} imports the package itself"
        assert ROOMS.index(other) <= ROOMS.index(own), f"{name_of(path)} imports {name}"


def test_no_circle_of_imports() -> None:
    """Within rooms, too: modules can be put in an order in which each imports earlier ones only."""
    waiting = {name: set(imports(p)) & set(MODULES) - {name} for name, p in MODULES.items()}
    while ready := [name for name, needs in waiting.items() if not needs]:
        for name in ready:
            del waiting[name]
        for needs in waiting.values():
            needs.difference_update(ready)
    assert not waiting, f"a circle among {sorted(waiting)}"


def test_only_one_module_imports_the_interpreter() -> None:
    importing = {name_of(p) for p in SOURCES if re.search(r"from ai_edge_litert import (?!schema_py_generated)", p.read_text())}
    assert importing == {"runtime/interpreter.py"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_classes_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    if room(path) in TABLES:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_CLASS, f"{node.name} has {length} lines"
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - (body[0].lineno if body else node.lineno) + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())) or path.name == "__init__.py"


def test_no_modules_named_after_nothing() -> None:
    assert not {p.stem for p in SOURCES} & {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def test_one_name_is_one_thing() -> None:
    """No two modules define a class or a constant of the same name (each table of rows, each rule, each target has its own)."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                names = [t.id for t in node.targets if isinstance(t, ast.Name)]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                homes[name].append(name_of(path))
    alike = {n: where for n, where in homes.items() if len(where) > 1 and not n.startswith("_")}
    assert set(alike) <= {"ROWS", "RULE", "TABLE", "TARGET"}, alike


def test_operators_are_called_by_name_at_home_only() -> None:
    """A list of operators' names outside the table is a fact said twice."""
    kinds = set(schema.values("BuiltinOperator"))
    found: dict[str, int] = defaultdict(int)
    for path in SOURCES:
        if not name_of(path).startswith(OPERATORS_AT_HOME):
            for node in ast.walk(ast.parse(path.read_text())):
                words = node.value.split() if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
                found[name_of(path)] += len(words) if words and kinds.issuperset(words) else 0
    assert {name: n for name, n in found.items() if n} == LITERALS_LEFT


def test_no_kwargs_that_eat_misspelt_options() -> None:
    """Where **options are taken, they are handed to something that checks them."""
    allowed = {
        "quantize",
        "convert",
        "said",
        "call",
        "make_op",
        "op",
        "_unary",
        "_move",
        "_fixed",
        "_binary",
        "repair",
        "audit",
        "compare",
        "sensitivity",
        "calibrate",
        "int_op",
        "benchmark",
        "_flag",
    }
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None:
                assert node.name in allowed, f"{path.name}: {node.name}"


def test_the_project_speaks_of_itself_only() -> None:
    """No registry hosts, no paths of a workplace in what is kept."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    forbidden = re.compile("/wo" + "rk/|py" + "pi\\.org|shared/(models|singles|data)")
    for name in files:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yml", "") and path.is_file() and path.name != "test_layers.py":
            text = path.read_text(errors="replace")
            found = forbidden.search(text)
            assert found is None, f"{name}: {found and found[0]}"
