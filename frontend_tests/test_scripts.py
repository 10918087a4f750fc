"""Scripts as people write them, each with one line changed: they run to their end, and what they make is all integer."""

import runpy
from pathlib import Path

import pytest
import tensorflow as tf

from fullint import audit
from fullint.model.census import count_float
from fullint.model.tflite import read_bytes

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))


def test_there_are_thirty() -> None:
    assert len(SCRIPTS) >= 30


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_it_runs(path: Path) -> None:
    tf.keras.utils.set_random_seed(0)  # the scripts, as people write them, do not
    made = runpy.run_path(str(path), run_name="__main__")
    data, converter = made["tflite_model"], next(v for n, v in made.items() if n in ("converter", "conv"))
    model = read_bytes(data)
    ends = {t for g in model.entries for t in (*g.inputs, *g.outputs) if t.is_float}
    borders = [op for _, op in model.ops() if op.kind in ("QUANTIZE", "DEQUANTIZE") and not ends.isdisjoint(op.values())]
    assert converter.report.float_operators == count_float(model) == len(borders)
    assert converter.report.certificate.sqnr_db > 15
    assert not [f for f in audit(data).findings if f.level == "error" and "float" not in f.rule]
    least = 40 if path.stem == "quantization_aware" else 90  # ties are rounded in other ways there
    assert converter.conversion.sqnr_db is None or converter.conversion.sqnr_db > least
