"""`sensitivity`: what each operator, layer or block costs, and what its options give."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

import fullint
from fullint import demo
from fullint.errors import UsageError
from fullint.ops.builder import Builder, samples_like
from fullint.sensitivities.pipeline import shares_of
from fullint.sensitivities.units import prefix


def chain(g: Builder, *, coarse: str = "") -> list[dict[str, np.ndarray]]:
    """Layers in two blocks; of one of them, one weight of each channel is so large that the others have few codes."""
    x = g.input(1, 8, 8, 4, name="picture")
    for block in ("block_0", "block_1"):
        for layer in ("first", "second"):
            w = g.rng.normal(size=(6, 3, 3, x.shape[-1])).astype(np.float32) / 6
            if f"{block}/{layer}" == coarse:
                for c in range(6):
                    w[c, c % 3, c // 3, c % 4] = 20
            x = g.conv(x, 6, weights=g.const(w), activation="RELU6")
            x.name = f"{block}/{layer}/conv;fused/name"
    y = g.dense(g.reshape(x, 1, -1), 4)
    y.name = "head/scores"
    g.output(y)
    return samples_like(g.model(), 40)


def test_a_layer_that_loses_more_rises(g: Builder) -> None:
    """The shares add up to all noise, and order the list; that of a layer with coarse weights is many times as large."""
    found = []
    for builder, coarse in ((g, ""), (Builder(), "block_1/first")):
        samples = chain(builder, coarse=coarse)
        report = fullint.sensitivity(builder.bytes(), samples)
        assert [u.share for u in report.units] == sorted((u.share for u in report.units), reverse=True)
        assert sum(u.share for u in report.units) == pytest.approx(1, abs=1e-3)
        assert report.measured == len(report.units) == 6
        found.append(next(u for u in report.units if u.name.startswith("block_1/first")))
    assert found[1].share > 3 * found[0].share
    assert found[1].alone_db < found[0].alone_db - 5
    assert found[1].float_gain_db > found[0].float_gain_db + 1


def test_what_is_passed_on_only_costs_nothing(g: Builder) -> None:
    """A RESHAPE has no range of its own; left in float, it still has the right one."""
    samples = chain(g)
    report = fullint.sensitivity(g.bytes(), samples)
    reshape = next(u for u in report.units if u.kinds == ("RESHAPE",))
    assert reshape.float_gain_db == pytest.approx(0, abs=0.3)
    assert reshape.alone_db > 30


def test_remedies_hold(g: Builder) -> None:
    """The options, given to quantize, give what was said."""
    samples = chain(g)
    report = fullint.sensitivity(g.bytes(), samples, worst=2)
    assert report.remedies[-1].option.startswith("--keep-float ")
    before = fullint.quantize(g.bytes(), samples, min_sqnr=-100.0).report.certificate.sqnr_db
    for r in report.remedies:
        name, items = r.option.removeprefix("--").replace("-", "_").split()
        done = fullint.quantize(g.bytes(), samples, min_sqnr=-100.0, **{name: items})
        assert done.report.certificate.sqnr_db - before == pytest.approx(r.gain_db, abs=1.5), r.option
        assert (r.latency is None) == (name == "keep_float")


@pytest.mark.parametrize(
    ("by", "names"),
    [("layer", ["block_0/first", "block_0/second", "block_1/first", "block_1/second"]), ("1", ["block_0", "block_1", "head"])],
)
def test_layers_and_blocks_are_measured_as_one(g: Builder, by: str, names: list[str]) -> None:
    samples = chain(g)
    report = fullint.sensitivity(g.bytes(), samples, by=by)
    assert {*names} <= {u.name for u in report.units}
    block = next(u for u in report.units if u.name == names[0])
    assert block.operators == ((0,) if by == "layer" else (0, 1))


def test_names() -> None:
    assert prefix("a/b/c;x/y", "layer") == "a/b"
    assert prefix("a/b/c;x/y", "2") == "a/b"
    assert prefix("alone", "layer") == "alone"
    assert prefix("", "3") == ""


def test_shares_are_those_of_each_output() -> None:
    """The second output is a thousand times noisier, and counts as much as the first."""
    shares = shares_of({"a": (1.0, 0.0), "b": (3.0, 1000.0), "c": (0.0, 3000.0)})
    assert shares == {"a": pytest.approx(0.125), "b": pytest.approx(0.5), "c": pytest.approx(0.375)}
    assert shares_of({"a": (0.0,)}) == {"a": 0.0}
    assert shares_of({}) == {}


def test_the_time_ends(g: Builder) -> None:
    """What was measured by then is there, and a note says that it is not all."""
    samples = chain(g)
    report = fullint.sensitivity(g.bytes(), samples, budget=1e-6)
    assert report.measured < len(report.units)
    assert any("the time was over after" in n for n in report.notes)
    assert len(report.units) == 6


def test_noise_of_loops_is_nobodys() -> None:
    """The body of a loop is integer in every variant: a note says so, and a RESHAPE has no share of it."""
    network = Path(__file__).parent / "networks" / "gru_loop.tflite"
    report = fullint.sensitivity(network, Path(demo.__file__).parent / "calibration.npz", num_samples=40)
    assert any("in loops, branches or other signatures" in n for n in report.notes)
    moved = [u.share for u in report.units if u.kinds[0] in ("RESHAPE", "STRIDED_SLICE", "TRANSPOSE")]
    assert moved
    assert max(moved) < 0.2


def test_outputs_of_integers_have_no_noise(g: Builder) -> None:
    x = g.dense(g.input(1, 8), 4)
    g.output(g.op("ARG_MAX", x, g.const(np.int32(1)), shape=(1,), dtype="int32", output_type=2))
    with pytest.raises(UsageError, match="no float output"):
        fullint.sensitivity(g.bytes(), samples_like(g.model(), 12))


def test_an_interrupt_keeps_what_is_known(g: Builder) -> None:
    samples = chain(g)

    def stop(stage: str, done: int, total: int | None) -> None:
        if stage == "sensitivity" and done == 4:
            raise KeyboardInterrupt

    report = fullint.sensitivity(g.bytes(), samples, progress=stop)
    assert 0 < report.measured < len(report.units)
    assert report.remedies == ()
    assert report.notes[-1].startswith("interrupted:")


def test_records_csv_and_json(g: Builder, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from fullint.cli import main

    samples = chain(g)
    (tmp_path / "m.tflite").write_bytes(g.bytes())
    np.savez(tmp_path / "s.npz", picture=np.concatenate([s["picture"] for s in samples]))
    words = ["sensitivity", str(tmp_path / "m.tflite"), "-c", str(tmp_path / "s.npz"), "--csv", str(tmp_path / "u.csv"), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 2
    assert "--force overwrites it" in again.output
    found = json.loads(done.stdout)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "u.csv").read_text())))
    assert [r["name"] for r in rows] == [u["name"] for u in found["units"]]
    assert found["schema_version"] == 1


def test_what_makes_no_sense(g: Builder) -> None:
    samples = chain(g)
    for options, said in (
        ({"by": "0"}, "by must be from 1"),
        ({"by": True}, "by must be operator, layer"),
        ({"by": "group"}, "by must be operator, layer"),
        ({"budget": 0}, "budget must be"),
        ({"budget": float("inf")}, "budget must be"),
        ({"worst": 0}, "worst must be"),
        ({"mixed": 3.0}, "measure without it"),
    ):
        with pytest.raises(UsageError, match=said):
            fullint.sensitivity(g.bytes(), samples, **options)
    with pytest.raises(UsageError, match="sensitivity: 4 samples would have to judge"):
        fullint.sensitivity(g.bytes(), samples[:2])


def test_options_of_quantize_hold(g: Builder) -> None:
    """With int16 activations nothing is left to widen; what a rule keeps in float costs nothing."""
    samples = chain(g)
    wide = fullint.sensitivity(g.bytes(), samples, activations="int16")
    assert all(u.int16_gain_db is None for u in wide.units)
    recipe = fullint.Recipe(rules=(fullint.RecipeRule(match="block_0/*", keep_float=True),))
    kept = fullint.sensitivity(g.bytes(), samples, recipe=recipe)
    assert not [u for u in kept.units if u.name.startswith("block_0")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attention", "residual"])
def test_the_worst_give_back_what_the_best_by_trial_do(name: str) -> None:
    """Kept in float together, at least 80 % of the dB that those give which by themselves give most."""
    path = Path(__file__).parent / "networks" / f"{name}.tflite"
    samples = np.load(Path(demo.__file__).parent / "calibration.npz")["image"].astype(np.float32)

    def db(keep: list[int]) -> float:
        kept = fullint.quantize(path, samples, keep_float=keep or None, min_sqnr=-100.0)
        return kept.report.certificate.sqnr_db

    report = fullint.sensitivity(path, samples)
    before = db([])
    gains = {u.operators: db(list(u.operators)) - before for u in report.units}
    best = sorted(gains, key=lambda ops: -gains[ops])[:8]
    worst = [u.operators for u in report.units[:8]]
    found, wanted = (db(sorted({i for ops in chosen for i in ops})) - before for chosen in (worst, best))
    assert found >= 0.8 * wanted
