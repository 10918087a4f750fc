"""The notebooks in `examples`, run from top to bottom: each ends with what it promises, asserted."""

from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
NEED_KERAS = {"case", "keras_mobilenet"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda p: p.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    if path.stem in NEED_KERAS and find_spec("tensorflow") is None:
        pytest.skip("runs where Keras is")
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = [o.text for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream"]
    assert any("0 float operators" in text for text in said)
