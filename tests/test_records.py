"""Reports as flat records, for tables."""

from pathlib import Path

import pytest

import fullint
from fullint import demo
from fullint.frontends.environments import Environment
from fullint.reporting import Report, to_json

FILES = Path(demo.__file__).parent
MODEL, HALF = FILES / "digits.tflite", FILES / "half.tflite"


def reports() -> dict[str, Report]:
    quick = {"num_runs": 3, "min_secs": 0.02, "warmup_min_secs": 0.0}
    return {
        "quantize": fullint.quantize(MODEL, FILES / "calibration.npz").report,
        "repair": fullint.repair(HALF).report,
        "plan": fullint.repair_plan(HALF),
        "audit": fullint.audit(HALF, MODEL),
        "inspect": fullint.inspect(HALF),
        "partition": fullint.partition(HALF, target="nnapi:29"),
        "benchmark": fullint.benchmark(MODEL, HALF, **quick),
        "environment": Environment("keras", "python"),
    }


@pytest.fixture(scope="module")
def found() -> dict[str, Report]:
    return reports()


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("quantize", {"status", "float_operators", "conv_2d.total", "seconds.calibrate", "certificate.sqnr_db", "options.model"}),
        ("repair", {"fixed", "rule", "kind", "output", "cause"}),
        ("plan", {"fix", "rule", "kind", "output"}),
        ("audit", {"file", "rule", "level", "index", "kind", "cause", "macs_share", "fix"}),
        ("inspect", {"index", "kind", "dtypes", "output", "macs"}),
        ("partition", {"index", "kind", "output", "reason"}),
        ("benchmark", {"model", "kernels", "kind", "output", "us", "share"}),
        ("environment", {"framework", "python"}),
    ],
)
def test_every_report_is_a_table(found: dict[str, Report], name: str, columns: set[str]) -> None:
    records = found[name].records()
    assert records
    assert all(columns <= set(r) for r in records)
    for record in records:
        assert not any(isinstance(v, dict) for v in record.values())
    assert to_json(found[name]) == found[name].to_json()


def test_pandas_takes_them(found: dict[str, Report]) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(found["audit"].records())
    assert (table["rule"] == "shared-constant-conflict").sum() >= 2
    profile = pandas.DataFrame(found["benchmark"].records())
    assert set(profile["model"]) == {str(MODEL), str(HALF)} and profile["us"].dtype.kind == "f"


def test_a_log_is_a_table_of_its_delegates(tmp_path: Path, found: dict[str, Report]) -> None:
    path = tmp_path / "benchmark.log"
    path.write_text(fullint.benchmark(HALF, num_runs=3, min_secs=0.02, warmup_min_secs=0.0).to_log())
    assert {"name", "ms"} <= set(fullint.readlog(path).records()[0])
