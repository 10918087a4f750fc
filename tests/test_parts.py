"""Parts of outputs: how they are found, judged, named, and what is offered for those that are lost."""

import numpy as np
import pytest
from half import Half

import fullint
from fullint.errors import AccuracyError, NotIntegerError, UsageError
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.verification.output_parts import output_parts
from fullint.verification.part_scores import PartSums


def run(g: Builder, count: int = 40, **options: object) -> fullint.Result:
    data = g.bytes()
    return fullint.quantize(data, samples_like(read_bytes(data), count), threads=1, **options)


def boxes_and_scores(g: Builder, size: float = 500.0) -> None:
    x = g.conv(g.input(1, 8, 8, 3), activation="RELU")
    boxes = g.op("MUL", g.conv(x, 4), g.const(np.float32(size)), name="boxes")
    scores = g.op("LOGISTIC", g.conv(x, 2), name="scores")
    joined = g.op("CONCATENATION", boxes, scores, shape=(1, 8, 8, 6), axis=3, name="joined")
    g.output(g.reshape(joined, 1, 64, 6))


def columns(g: Builder, small: float = 1e-3) -> None:
    x = g.conv(g.input(1, 6, 6, 2), activation="RELU")
    w = g.rng.normal(size=(3, 144)).astype(np.float32)
    w[1] *= small
    g.output(g.op("FULLY_CONNECTED", g.reshape(x, 1, 144), g.const(w), None, shape=(1, 3), name="y"))


def test_scores_beside_boxes_are_refused(g: Builder) -> None:
    boxes_and_scores(g)
    with pytest.raises(AccuracyError) as caught:
        run(g)
    assert caught.value.lost == ("scores",)
    said = str(caught.value)
    assert 'CONCATENATION "joined" puts it on a scale with larger values' in said
    assert said.index("--split-outputs: ") < said.index("--allow-lost")


def test_a_column_is_judged_by_its_spread(g: Builder) -> None:
    columns(g)
    with pytest.raises(AccuracyError) as caught:
        run(g)
    assert caught.value.lost == ("y[..., 1]",)
    assert 'FULLY_CONNECTED "y"' in str(caught.value)
    assert "--int16 " in str(caught.value)
    accepted = run(g, allow_lost="y[..., 1]")
    [part] = [p for p in accepted.report.certificate.outputs[0].parts if p.gone]
    assert part.sqnr_db < accepted.report.certificate.sqnr_db
    assert "y[..., 1]" in " ".join(accepted.report.warnings)


def test_a_sound_table_has_no_warning(g: Builder) -> None:
    columns(g, small=0.3)
    assert run(g).report.warnings == ()


def test_an_unknown_part_is_said_to_be_none(g: Builder) -> None:
    columns(g, small=1.0)
    assert run(g, allow_lost=["z"]).report.warnings == ('allow_lost: no lost part of an output is called "z"',)


def test_int16_keeps_the_column_and_the_output_is_int16(g: Builder) -> None:
    columns(g)
    result = run(g, int16="y")
    model = read_bytes(result.model)
    assert [(op.kind, op.outputs[0].dtype) for op in model.main.ops][-1] == ("FULLY_CONNECTED", "int16")
    assert model.main.outputs[0].dtype == "int16"
    assert min(p.spread_db for p in result.report.certificate.outputs[0].parts) > 15
    assert any("as asked" in c.why for c in result.report.changes if c.rule == "widen")
    asked = read_bytes(run(g, int16="y", io="int8", allow_lost="y[..., 1]").model)
    assert asked.main.outputs[0].dtype == "int8"


def test_an_operator_without_an_int16_kernel_is_named(g: Builder) -> None:
    x = g.conv(g.input(1, 4, 4, 2))
    g.output(g.op("SPACE_TO_DEPTH", x, shape=(1, 2, 2, 16), block_size=2, name="total"))
    with pytest.raises(NotIntegerError, match="named by int16, but LiteRT has no int16 kernel"):
        run(g, int16="total")
    with pytest.raises(UsageError, match="int16: no float operator has"):
        run(g, int16="nothing")


def test_split_outputs_join_to_what_was_there(g: Builder) -> None:
    boxes_and_scores(g)
    result = run(g, split_outputs=True)
    model = read_bytes(result.model)
    assert [t.name for t in model.main.outputs] == ["boxes", "scores"]
    assert [o.name for o in result.report.certificate.outputs] == ["boxes", "scores"]
    assert min(o.sqnr_db for o in result.report.certificate.outputs) > 25
    [split] = [c for c in result.report.changes if c.rule == "split_outputs"]
    assert split.why.endswith('np.concatenate([out["boxes"], out["scores"]], axis=3).reshape(1, 64, 6)')
    assert "np.concatenate" in str(result.report)


def test_pack_and_transpose_are_split_too(g: Builder) -> None:
    x = g.input(1, 5)
    a, b = g.op("ABS", x, name="a"), g.op("MUL", x, g.const(np.float32(300)), name="b")
    packed = g.op("PACK", a, b, shape=(1, 2, 5), axis=1, values_count=2)
    g.output(g.op("TRANSPOSE", packed, g.const(np.int32([0, 2, 1])), shape=(1, 5, 2), name="y"))
    with pytest.raises(AccuracyError):
        run(g)
    result = run(g, split_outputs=True)
    [split] = [c for c in result.report.changes if c.rule == "split_outputs"]
    assert split.why.endswith('np.stack([out["a"], out["b"]], axis=1).transpose(0, 2, 1)')
    out = {"a": np.arange(5.0)[None], "b": -np.arange(5.0)[None]}
    exec(split.why.removeprefix("taken off: "), {"np": np, "out": out})
    assert out["y"].tolist() == np.stack([out["a"], out["b"]], 1).transpose(0, 2, 1).tolist()


def test_nothing_to_split_is_an_error(g: Builder) -> None:
    g.output(g.conv(g.input(1, 4, 4, 2)))
    with pytest.raises(UsageError, match="no output is made by a CONCATENATION or PACK"):
        run(g, split_outputs=True)


def test_operands_are_found_through_moves_and_nested_joins() -> None:
    """Where each operand's values end up, compared with NumPy's own moves."""
    g = Half()
    a, b, c = (g.coded(1, 2, n, scale=0.1, zero=0) for n in (3, 1, 4))
    inner = g.int_op("CONCATENATION", a, b, scale=0.1, zero=0, shape=(1, 2, 4), axis=2)
    outer = g.int_op("CONCATENATION", inner, c, scale=0.1, zero=0, shape=(1, 4, 4), axis=1)
    moved = g.int_op("TRANSPOSE", outer, g.const(np.int32([0, 2, 1])), scale=0.1, zero=0, shape=(1, 4, 4))
    g.output(
        g.int_op("SLICE", moved, g.const(np.int32([0, 1, 0])), g.const(np.int32([1, 3, 4])), scale=0.1, zero=0, shape=(1, 3, 4))
    )
    a_, b_, c_ = (np.full((1, 2, n), k) for k, n in ((1, 3), (2, 1), (3, 4)))
    expected = np.concatenate([np.concatenate([a_, b_], 2), c_], 1).transpose(0, 2, 1)[:, 1:, :].reshape(-1)
    [parts] = output_parts(g.model(), evaluate)
    found = {p.name: p.where.tolist() for p in parts.operands}
    names = {a.name: [1], b.name: [2], c.name: [3], inner.name: [1, 2]}
    assert found == {n: np.flatnonzero(np.isin(expected, k)).tolist() for n, k in names.items()}


def evaluate(model):
    from fullint.runtime.messages import Open, Run
    from fullint.runtime.process import WorkerProcess, model_file

    with model_file(model) as path, WorkerProcess() as worker:
        worker.call(Open(path, "builtin", 1))
        return worker.call(Run([]))


def test_an_error_that_a_kernel_dictates_is_excused(g: Builder) -> None:
    """Scores that lie closer together than the steps of LOGISTIC: no int8 form keeps them apart."""
    x = g.op("MUL", g.conv(g.input(1, 8, 8, 3)), g.const(np.float32(1e-3)))
    g.output(g.op("LOGISTIC", x))
    result = run(g)
    assert [p for p in result.report.certificate.outputs[0].parts if p.status != "kept"] == []


def test_what_topk_orders_is_compared_sorted(g: Builder) -> None:
    x = g.reshape(g.conv(g.input(1, 6, 6, 2), 1), 1, 36)
    values, indices = topk(g, x)
    g.output(g.op("GATHER", x, g.reshape(indices, 8), shape=(1, 8), axis=1))
    g.output(values)
    outputs = run(g).report.certificate.outputs
    assert all(o.as_set for o in outputs)
    assert min(o.sqnr_db for o in outputs) > 25


def topk(g: Builder, x):
    from fullint.model.ir import Tensor
    from fullint.ops.make import make_op

    values, indices = Tensor("best", (1, 8), "float32"), Tensor("places", (1, 8), "int32")
    g.graph.ops.append(make_op("TOPK_V2", [x, g.const(np.int32(8))], [values, indices]))
    return values, indices


def test_sums_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    ref = rng.normal(1e4, 1.0, (50, 3))
    out = ref + rng.normal(0, 0.1, ref.shape)
    sums = PartSums(3)
    for a, b in zip(ref.reshape(10, 5, 3), out.reshape(10, 5, 3), strict=True):
        sums.add_table(a.astype(np.float64), b)
    f = sums.figures(1, 0.3, 0.0, 3)
    noise = np.square(ref - out)[:, 1].sum()
    assert f.spread_db == pytest.approx(10 * np.log10(np.square(ref[:, 1] - ref[:, 1].mean()).sum() / noise), abs=1e-6)
    assert f.energy_db == pytest.approx(10 * np.log10(np.square(ref[:, 1]).sum() / noise), abs=1e-6)
    assert (f.values, f.constant, f.still) == (50, False, False)


@pytest.mark.parametrize(
    ("reference", "output", "step", "status"),
    [
        ([2.93, 2.95, 2.97, 2.99, 2.94], [3, 3, 3, 3, 3], 0.25, "constant"),
        ([0, 1, 0, 1, 0, 1] * 40, [1, 0, 1, 0, 1, 0] * 40, 0.01, "lost"),
        ([0, 1, 0, 1, 0, 1] * 40, [0.4, 0.8, 0.4, 0.6, 0.4, 0.6] * 40, 0.01, "weak"),
        ([0, 1, 0, 1], [0.1, 1, 0, 0.9], 0.01, "kept"),
        ([5, 5, 5, 5, 5], [5.1, 5.1, 5.1, 5.1, 5.1], 0.2, "kept"),
        ([0, 0, 0, 0, 0], [0.4, 0, 0, 0.4, 0], 0.01, "kept"),
        ([1e4, 1e4 + 1, 1e4 + 2, 1e4 + 1], [1e4, 1e4, 1e4, 1e4], 40.0, "weak"),
        ([0, 9], [9, 0], 0.01, "kept"),
    ],
    ids=["constant", "noise", "weak", "kept", "still", "zero", "too-fine", "too-few"],
)
def test_status(reference: list[float], output: list[float], step: float, status: str) -> None:
    sums = PartSums(1)
    sums.add_table(np.array(reference, np.float64)[:, None], np.array(output, np.float64)[:, None])
    assert sums.figures(0, step, 0.0, 1).status == status


def test_a_lost_operand_covers_its_columns(g: Builder) -> None:
    """Two scores, one loss: the operand is named, its slices are not."""
    boxes_and_scores(g)
    with pytest.raises(AccuracyError) as caught:
        run(g)
    assert not any("[...," in name for name in caught.value.lost)


def test_a_mask_on_one_logit_buries_the_others(g: Builder) -> None:
    """The larger the imbalance, the more is lost: it does not become an excuse."""
    mask = np.zeros((1, 8), np.float32)
    mask[0, -1] = -1e9
    g.output(g.op("ADD", g.dense(g.input(1, 16), 8), g.const(mask), name="y"))
    with pytest.raises(AccuracyError) as caught:
        run(g)
    assert set(caught.value.lost) == {f"y[..., {i}]" for i in range(7)}


@pytest.mark.parametrize("count", [10, 16, 30])
def test_few_samples_judge_parts_with_those_that_calibrated(g: Builder, count: int) -> None:
    x = g.input(1, 16)
    score = g.op("LOGISTIC", g.dense(x, 1), name="score")
    box = g.op("MUL", g.dense(x, 1), g.const(np.float32(1000)))
    g.output(g.op("CONCATENATION", box, score, shape=(1, 2), axis=1))
    with pytest.raises(AccuracyError) as caught:
        run(g, count)
    assert caught.value.lost == ("score",)


def test_a_fixed_scale_excuses_nothing_behind_a_product(g: Builder) -> None:
    """Scores times 0.004 behind the join: an error of two steps of LOGISTIC would be all there is."""
    x = g.input(1, 50, 16)
    joined = g.op("CONCATENATION", *(g.op("LOGISTIC", g.dense(x, n)) for n in (4, 2)), shape=(1, 50, 6), axis=2)
    g.output(g.op("MUL", joined, g.const(np.float32([[[1, 1, 1, 1, 0.004, 0.004]]]))))
    with pytest.raises(AccuracyError) as caught:
        run(g)
    assert caught.value.lost == ("logistic_1",)


def test_a_fixed_scale_behind_the_join_excuses_as_it_does_without_one() -> None:
    """Logits joined, then one LOGISTIC: the same codes as with a LOGISTIC each."""
    figures = []
    for join in (True, False):
        g = Builder()
        x = g.input(1, 50, 16)
        w = g.rng.normal(size=(1, 16)).astype(np.float32)
        strong = g.op("FULLY_CONNECTED", x, g.const(w * 3), None, shape=(1, 50, 1), keep_num_dims=True)
        weak = g.op("FULLY_CONNECTED", x, g.const(w * np.float32(0.3)), None, shape=(1, 50, 1), keep_num_dims=True)
        weak = g.op("ADD", weak, g.const(np.float32(-8)))
        if join:
            g.output(g.op("LOGISTIC", g.op("CONCATENATION", strong, weak, shape=(1, 50, 2), axis=2)))
        else:
            g.output(g.op("LOGISTIC", strong), g.op("LOGISTIC", weak))
        figures.append([w for w in run(g).report.warnings if "about its mean" in w])
    assert figures == [[], []]


@pytest.mark.parametrize("count", [100, 3000])
def test_channels_that_come_first_are_judged_too(g: Builder, count: int) -> None:
    """[1, channels, anchors], the output of many detectors."""
    y = g.op("MUL", g.op("LOGISTIC", g.dense(g.input(1, count, 16), 6)), g.const(np.float32([640] * 4 + [1] * 2)))
    g.output(g.op("TRANSPOSE", y, g.const(np.int32([0, 2, 1])), shape=(1, 6, count), name="y"))
    with pytest.raises(AccuracyError) as caught:
        run(g)
    assert caught.value.lost == ("y[:, 4]", "y[:, 5]")


def test_int16_operators_have_their_biases_corrected(g: Builder) -> None:
    """Biases of int16 operators are int64, those corrected too."""
    x = g.input(1, 50, 16)
    joined = g.op("CONCATENATION", g.dense(x, 4), g.dense(x, 2), shape=(1, 50, 6), axis=2)
    g.output(joined)
    assert run(g, int16="0,1,2").report.certificate.sqnr_db > 30


@pytest.mark.parametrize(("count", "lost"), [(10, False), (40, True)])
def test_ten_samples_do_not_tell_what_each_of_many_columns_is_for(g: Builder, count: int, lost: bool) -> None:
    """One of forty columns moves by less than a step: with ten samples a warning, with forty an error."""
    w = g.rng.normal(size=(40, 16)).astype(np.float32)
    w[7] *= 1e-3
    g.output(g.op("FULLY_CONNECTED", g.input(1, 16), g.const(w), None, shape=(1, 40), name="y"))
    samples = samples_like(read_bytes(g.bytes()), count)
    if lost:
        with pytest.raises(AccuracyError, match=r"y\[\.\.\., 7\]"):
            fullint.quantize(g.bytes(), samples)
    else:
        assert any("y[..., 7]" in w for w in fullint.quantize(g.bytes(), samples).report.warnings)
