"""The house rules that can be checked: who imports whom, how long things are, what is not said."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "fullint").rglob("*.py"))
LAYERS = (
    {"errors"},
    {"ir"},
    {"functions", "numerics"},
    {"ops", "tflite", "rewrite", "cost", "report"},
    {"build", "verify", "assignment"},
    {"control", "saturate", "score", "samples", "sandbox", "execute", "native"},
    {"passes", "groups"},
    {"assign"},
    {"rules", "layer_names"},
    {"auditing", "bounds", "mend", "logs"},
    {"border", "blockers", "emit", "equalize", "inspection", "options", "tables", "keep_float", "widen", "clip", "given"},
    {"correct_bias"},
    {"measure"},
    {"calibrate", "certificate"},
    {"diagnose", "verdict"},
    {"entries", "frontends"},
    {"outcome"},
    {"job"},
    {"pipeline"},
    {"compat"},
    {"repair_job"},
    {"repairing"},
    {"delegates"},
    {"bench"},
    {"demo", "render", "render_delegates"},
    {"cli"},
)
LONGEST_FILE, LONGEST_FUNCTION = 420, 62
TABLES = ("ops",)
RUNTIME = {"interpreter.py"}


def module(path: Path) -> str:
    parts = path.relative_to(ROOT / "src" / "fullint").with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    """The modules of fullint that a file imports, where it runs (not for type checking only)."""
    found = set()
    tree = ast.parse(path.read_text())
    guarded = {n for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test) for n in ast.walk(i)}
    for node in ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fullint":
            rest = node.module.split(".")[1:]
            found |= {rest[0]} if rest else {a.name for a in node.names if a.name != "__version__"}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src" / "fullint")))
def test_imports_go_down(path: Path) -> None:
    """A module imports from its own layer or from lower ones."""
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    own = module(path)
    if own in ("__init__", "__main__"):
        return
    assert own in level, f"{own} has no layer"
    for name in imports(path):
        assert level[name] <= level[own], f"{own} imports {name}"


def test_only_one_module_imports_the_interpreter() -> None:
    importing = {p.name for p in SOURCES if re.search(r"from ai_edge_litert import (?!schema_py_generated)", p.read_text())}
    assert importing == RUNTIME


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src" / "fullint")))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    if module(path) in TABLES:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - (body[0].lineno if body else node.lineno)
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src" / "fullint")))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())) or path.name == "__init__.py"


def test_no_modules_named_after_nothing() -> None:
    assert not {p.stem for p in SOURCES} & {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def test_no_kwargs_that_eat_misspelt_options() -> None:
    """Where **options are taken, they are handed to something that checks them."""
    allowed = {"plan", "quantize", "make_op", "op", "_unary", "_fixed", "_binary", "repair", "int_op", "benchmark", "_flag"}
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
