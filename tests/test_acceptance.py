"""When a result is refused, when it only has a warning, and the figures that this is decided by."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fullint.errors import AccuracyError
from fullint.model.ir import Quant
from fullint.verification.acceptance import verdict
from fullint.verification.metrics import Score, joined_quality, mean_sqnr
from fullint.verification.report import Certificate, OutputQuality, PartQuality


def output(sqnr: float | None, name: str = "y", **more: float) -> OutputQuality:
    return OutputQuality(name, sqnr, **more)


def certificate(*outputs: OutputQuality, held_back: bool = True, uncalibrated: bool = False) -> Certificate:
    """As the verifier makes it: its figure is the mean over the outputs that have one."""
    figures = [o.sqnr_db for o in outputs if o.sqnr_db is not None]
    return Certificate(
        integer=True,
        except_for=(),
        checks=(),
        samples=2,
        held_back=held_back,
        drawn=False,
        uncalibrated=uncalibrated,
        reference="the float model",
        sqnr_db=sum(figures) / len(figures) if figures else None,
        outputs=outputs,
        kernel_sets=(),
    )


class Found:
    """Causes as they are told; `asked` tells whether somebody wanted to know."""

    def __init__(self, *, thorough: bool = True) -> None:
        self.asked, self.thorough = False, thorough
        self.refused: set[bool] = set()

    def of_parts(self, *, refused: bool) -> str:
        self.asked = True
        self.refused.add(refused)
        return "tried: --split-outputs"

    def of_outputs(self, names: list[str], *, ways: bool, refused: bool) -> list[str]:
        self.asked = True
        self.refused.add(refused)
        return ["most accuracy is lost at: CONV_2D"]


def warned(*outputs: OutputQuality, min_sqnr: float = 5.0, every: bool = False, **more: bool) -> list[str]:
    """Warnings; causes are told whether there will be a result."""
    causes, ends = Found(), True
    try:
        said = verdict(certificate(*outputs, **more), min_sqnr, causes, require_every_output=every)
        ends = False
    finally:
        assert causes.refused <= {ends}
    return said


def refused(*outputs: OutputQuality, min_sqnr: float = 5.0, every: bool = False) -> str:
    with pytest.raises(AccuracyError) as found:
        warned(*outputs, min_sqnr=min_sqnr, every=every)
    return str(found.value)


def with_part(status: str) -> OutputQuality:
    spread = {"weak": 3.0, "lost": -2.0}[status]
    part = PartQuality("y[..., 1]", status, 20.0, spread, 0.0, 1.0, 0.1, 100, operator=4, cause="op 4 puts it on a scale")
    return replace(output(40.0, "y"), parts=(part,))


@pytest.mark.parametrize("thorough", [True, False])
def test_ways_are_tried_for_weak_parts_where_the_effort_allows_it(thorough: bool) -> None:
    causes = Found(thorough=thorough)
    [warning] = verdict(certificate(with_part("weak")), 5.0, causes)
    assert causes.asked == thorough == ("tried: --split-outputs" in warning)
    assert '"y[..., 1]" has 3.0 dB about its mean' in warning


def test_ways_are_tried_for_lost_parts_whatever_the_effort_and_not_for_accepted_ones() -> None:
    causes = Found(thorough=False)
    with pytest.raises(AccuracyError, match="tried: --split-outputs"):
        verdict(certificate(with_part("lost")), 5.0, causes)
    causes = Found()
    [warning] = verdict(certificate(with_part("lost")), 5.0, causes, accepted=["y[..., 1]"])
    assert not causes.asked and "is lost (-2.0 dB about its mean)" in warning


def test_a_good_result_has_no_warning() -> None:
    assert warned(output(40.0)) == []


def test_the_worst_operators_are_not_looked_for_in_vain() -> None:
    """Finding them runs the model again."""
    causes = Found()
    assert verdict(certificate(output(40.0)), 5.0, causes) == []
    assert not causes.asked


def test_exactly_what_was_asked_for_is_enough() -> None:
    assert len(warned(output(5.0))) == 1
    refused(output(np.nextafter(5.0, 0)))
    assert warned(output(30.0), min_sqnr=30.0) == []
    refused(output(np.nextafter(30.0, 0)), min_sqnr=30.0)


def test_fifteen_decibels_need_no_warning() -> None:
    assert warned(output(15.0)) == []
    assert warned(output(14.9)) == ['SQNR below 15 dB: "y" 14.9 dB; most accuracy is lost at: CONV_2D']


def test_a_refusal_says_how_far_and_what_was_found_out() -> None:
    assert refused(output(4.0)) == (
        'the SQNR against the float model is too low: "y" 4.0 dB (min_sqnr is 5 dB)\n  most accuracy is lost at: CONV_2D'
    )


@pytest.mark.parametrize(("size", "largest", "refuse"), [(4, 0.2, False), (4, 0.21, True), (16, 0.2, False), (17, 0.2, True)])
def test_an_output_of_few_values_is_judged_in_steps_too(size: int, largest: float, refuse: bool) -> None:
    """Four values near zero: an error of two steps is most of them, and no fault."""
    o = output(-2.8, step=0.1, largest_error=largest, size=size, low=0.0, high=3.2)
    if refuse:
        assert '"y" -2.8 dB' in refused(o)
    else:
        assert warned(o) == ["SQNR -2.8 dB, but no error is larger than 2 steps of its output"]


def test_a_dead_output_of_few_values_is_no_matter_of_steps() -> None:
    """All within two steps of a range that was made for far larger values: nothing is left of it."""
    assert '"y" 0.0 dB' in refused(output(0.0, step=23.9, largest_error=2.3, size=10, low=-2.3, high=2.0))


def test_a_mean_below_what_was_asked_for_names_all_weak_outputs() -> None:
    """Those above 15 dB are not at fault."""
    text = refused(output(-20.0, "a"), output(2.0, "b"), output(16.0, "c"))
    assert text.splitlines()[0].endswith('"a" -20.0 dB, "b" 2.0 dB (min_sqnr is 5 dB)')


def test_a_good_mean_makes_up_for_a_weak_output() -> None:
    assert warned(output(30.0, "a"), output(2.0, "b")) == ['SQNR below 15 dB: "b" 2.0 dB; most accuracy is lost at: CONV_2D']


def test_no_mean_makes_up_for_an_output_that_is_lost() -> None:
    """Below 1 dB it is as much noise as signal."""
    assert len(warned(output(60.0, "a"), output(1.0, "b"))) == 1
    assert '"b" 1.0 dB' in refused(output(60.0, "a"), output(np.nextafter(1.0, 0), "b"))


def test_who_asks_for_less_than_nothing_gets_it() -> None:
    """With min_sqnr -20 an output of -19 dB is not lost: it was asked for."""
    assert warned(output(-19.0), min_sqnr=-20.0) == ['SQNR below 15 dB: "y" -19.0 dB; most accuracy is lost at: CONV_2D']
    refused(output(-21.0), output(60.0), min_sqnr=-20.0)


def test_every_output_must_reach_it_where_that_is_demanded() -> None:
    good, weak = output(60.0, "a"), output(4.9, "b")
    assert len(warned(good, weak)) == 1
    assert '"b" 4.9 dB (min_sqnr is 5 dB)' in refused(good, weak, every=True)
    assert '"a"' not in refused(good, weak, every=True)
    assert len(warned(good, output(5.0, "b"), every=True)) == 1


@pytest.mark.parametrize(("sqnr", "refuse"), [(3.0, False), (2.9, True)])
def test_within_one_decibel_of_what_the_steps_allow_is_not_refused(sqnr: float, refuse: bool) -> None:
    """The float output rounded to the result's own steps has 4 dB: 3 are near enough."""
    o = output(sqnr, limit_db=4.0)
    if refuse:
        assert f'"y" {sqnr} dB' in refused(o)
    else:
        assert warned(o) == ["SQNR 3.0 dB is the most that fixed output scales allow on these samples"]


def test_a_better_limit_is_no_excuse() -> None:
    refused(output(3.0, limit_db=30.0))


def test_all_that_steps_allow_is_not_warned_of_from_fifteen_on() -> None:
    assert warned(output(15.0, limit_db=15.5), min_sqnr=20.0) == []
    assert warned(output(14.9, limit_db=15.5), min_sqnr=20.0) == [
        "SQNR 14.9 dB is the most that fixed output scales allow on these samples"
    ]


def test_an_output_at_its_limit_does_not_refuse_the_others() -> None:
    """Fixed steps allow -20 dB at the first; the second has what was asked for and more."""
    warnings = warned(output(-20.0, "a", limit_db=-20.0), output(14.0, "b"))
    assert warnings == ['SQNR below 15 dB: "b" 14.0 dB; most accuracy is lost at: CONV_2D']


@pytest.mark.parametrize(("largest", "refuse"), [(0.2, False), (0.21, True)])
def test_silence_with_a_step_or_two_beside_it_is_not_lost(largest: float, refuse: bool) -> None:
    """An output that is zero everywhere has -200 dB as soon as one code is off."""
    o = output(-200.0, "b", step=0.1, largest_error=largest)
    if refuse:
        assert '"b" -200.0 dB' in refused(output(500.0), o)
    else:
        assert warned(output(500.0), o) == []


def test_what_is_above_minus_100_is_no_silence() -> None:
    refused(output(500.0), output(-99.9, step=0.1, largest_error=0.1))
    assert warned(output(500.0), output(-100.0, step=0.1, largest_error=0.1)) == []


@pytest.mark.parametrize("unknown", [{"step": 0.1}, {"largest_error": 0.1}, {}])
def test_silence_without_a_step_is_not_excused(unknown: dict[str, float]) -> None:
    refused(output(500.0), output(-200.0, **unknown))


def test_integer_outputs_are_not_refused_but_warned_of() -> None:
    assert warned(output(None, equal=0.9)) == []
    assert warned(output(None, equal=0.899)) == ['only 89.9 % of the elements of output "y" equal the float model\'s']


def test_integer_outputs_do_not_excuse_float_ones() -> None:
    text = refused(output(4.0, "a"), output(None, "b", equal=0.5))
    assert '"a" 4.0 dB (min_sqnr' in text and '"b"' not in text


def test_few_samples_are_said() -> None:
    said = "2 samples, too few to hold some back: they calibrated, and they judge; give at least twenty that differ"
    assert warned(output(40.0), held_back=False) == [said]


def test_what_was_never_calibrated_is_not_refused() -> None:
    said = "calibrated on random numbers: use the result for speed tests only; min_sqnr was not applied"
    assert warned(output(40.0), uncalibrated=True) == [said]
    assert warned(output(-50.0), uncalibrated=True) == [said, 'SQNR below 15 dB: "y" -50.0 dB']


def test_a_warning_names_the_figure_it_goes_by() -> None:
    """A mean of 35 passes 30 dB; the weak output is measured by what was asked for, not by 15."""
    assert warned(output(50.0, "a"), output(20.0, "b"), min_sqnr=30.0) == [
        'SQNR below 30 dB: "b" 20.0 dB; most accuracy is lost at: CONV_2D'
    ]


RNG = np.random.default_rng(7)
SAMPLES = [RNG.normal(size=(2, 5)).astype(np.float32) * scale for scale in (0.1, 3.0, 1.0)]
NOISY = [x + RNG.normal(size=x.shape).astype(np.float32) * 0.2 for x in SAMPLES]


def scored(references: list[np.ndarray], outputs: list[np.ndarray], **more: object) -> Score:
    score = Score()
    for reference, out in zip(references, outputs, strict=True):
        score.add(reference, out, **more)
    return score


def test_sqnr_is_that_of_all_samples_together() -> None:
    """Not the mean of each sample's: a quiet sample counts for little."""
    x, y = (np.concatenate(a).astype(np.float64) for a in (SAMPLES, NOISY))
    assert scored(SAMPLES, NOISY).sqnr == pytest.approx(10 * np.log10((x**2).sum() / ((x - y) ** 2).sum()), abs=1e-4)


def test_sqnr_by_hand() -> None:
    """Signal 9 + 16 = 25, noise 0.25: 20 dB."""
    assert scored([np.float32([3, 4])], [np.float32([3.5, 4])]).sqnr == pytest.approx(20.0)


def test_noise_above_the_signal_is_negative() -> None:
    assert scored([np.float32([1])], [np.float32([11])]).sqnr == pytest.approx(-20.0)


def test_no_error_at_all_is_200() -> None:
    assert scored(SAMPLES, SAMPLES).sqnr == 200.0
    assert scored([np.zeros(3, np.float32)], [np.zeros(3, np.float32)]).sqnr == 200.0


def test_a_silent_output_has_minus_200() -> None:
    """As soon as it is not quite silent."""
    assert scored([np.zeros(3, np.float32)], [np.full(3, 1e-6, np.float32)]).sqnr == -200.0


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_largest_error_is_that_of_any_sample(order: tuple[int, ...], sign: int) -> None:
    errors = [0.5, 2.0, 1.0]
    references = [np.float32([1, 2]) for _ in errors]
    outputs = [np.float32([1, 2 + sign * errors[i]]) for i in order]
    assert scored(references, outputs).largest == 2.0


def test_nothing_has_no_error() -> None:
    assert scored([np.zeros((0, 3), np.float32)], [np.zeros((0, 3), np.float32)]).largest == 0.0


def test_the_limit_is_the_reference_on_the_results_own_grid() -> None:
    grid = Quant.of(0.25, 10)
    x = np.concatenate(SAMPLES).astype(np.float64)
    rounded = np.clip(np.rint(x / 0.25), -138, 117) * 0.25  # codes -128 to 127, zero point 10
    expected = 10 * np.log10((x**2).sum() / ((x - rounded) ** 2).sum())
    assert scored(SAMPLES, NOISY, grid=grid).limit == pytest.approx(expected, abs=1e-4)


def test_the_limit_counts_what_the_grid_cuts_off() -> None:
    """50 becomes 127 * 0.25 = 31.75: an error of 18.25."""
    score = scored([np.float32([50])], [np.float32([50])], grid=Quant.of(0.25))
    assert score.limit == pytest.approx(20 * math.log10(50 / 18.25), abs=1e-4)
    assert score.sqnr == 200.0


def test_there_is_no_limit_without_a_grid_or_where_it_costs_nothing() -> None:
    assert scored(SAMPLES, NOISY).limit is None
    assert scored([np.float32([0.5, 1])], [np.float32([0.5, 1])], grid=Quant.of(0.25)).limit is None


def test_classes_agree_row_by_row() -> None:
    """Three rows of two samples: the second row of the first sample has another winner."""
    score = Score()
    score.add(np.float32([[1, 2, 3], [3, 2, 1]]), np.float32([[1, 2, 9], [1, 2, 0]]), classes=True)
    score.add(np.float32([[0, 5, 1]]), np.float32([[0, 2, 1]]), classes=True)
    assert (score.rows, score.agree) == (3, 2)


def test_rows_run_along_the_last_axis() -> None:
    x = np.zeros((1, 2, 2, 3), np.float32)
    x[..., 1] = 1
    score = scored([x], [x], classes=True)
    assert (score.rows, score.agree) == (4, 4)


def test_what_is_no_class_has_no_rows() -> None:
    assert scored(SAMPLES, NOISY).rows == 0


def test_integers_are_equal_or_not() -> None:
    """Over all samples, 4 of 6; they have no SQNR."""
    score = Score()
    score.add(np.int32([1, 2, 3, 4]), np.int32([1, 2, 3, 5]))
    score.add(np.array([True, False]), np.array([True, True]))
    assert (score.elements, score.equal) == (6, 4)
    assert score.sqnr is None


def test_a_mean_is_that_of_the_figures_there_are() -> None:
    integers = scored([np.int32([1])], [np.int32([1])])
    twenty = scored([np.float32([3, 4])], [np.float32([3.5, 4])])
    less = scored([np.float32([1])], [np.float32([11])])
    assert mean_sqnr([twenty, integers, less]) == pytest.approx(0.0, abs=1e-6)
    assert mean_sqnr([integers]) is None
    assert joined_quality([]) is None
    assert joined_quality([None, 3.0, -1.0]) == 1.0
