"""Samples from every source, checked, and split."""

from pathlib import Path

import numpy as np
import pytest

from fullint.calibration.samples import Held, ImageOptions, Reading, Samples, Slot, held_back, open_samples, split, synthetic
from fullint.calibration.samples.numbering import Numbering
from fullint.calibration.shards import SampleFile
from fullint.errors import SamplesError
from fullint.model.ir import Quant
from fullint.model.ranges import Range

ONE = [Slot("image", ("img",), (1, 4, 2), "float32")]
TWO = [Slot("a", (), (1, 4), "float32"), Slot("b", (), (1, 2), "int32")]


def rows(count: int, *shape: int) -> np.ndarray:
    return np.arange(count * int(np.prod(shape)), dtype=np.float32).reshape(count, *shape)


def taken(source: object, inputs: list[Slot] = ONE, **more: object) -> list[list[np.ndarray]]:
    return list(open_samples(source, inputs, Reading(**more)))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["image", "img", "whatever"])
def test_npz_by_input_name_signature_name_or_order(tmp_path: Path, save, name: str) -> None:
    save(tmp_path / "s.npz", **{name: rows(3, 4, 2)})
    got = taken(str(tmp_path / "s.npz"))
    np.testing.assert_array_equal(np.concatenate([s[0] for s in got]), rows(3, 4, 2))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_goes_by_name_before_order(tmp_path: Path, save) -> None:
    save(tmp_path / "s.npz", b=np.ones((3, 2), np.int32), a=rows(3, 4))
    first = taken(tmp_path / "s.npz", TWO)[0]
    assert [a.dtype.name for a in first] == ["float32", "int32"]
    assert first[1].tolist() == [[1, 1]]


def test_fortran_order_and_other_types(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", image=np.asfortranarray(rows(3, 4, 2).astype(np.float64)))
    np.testing.assert_array_equal(taken(tmp_path / "s.npz")[2][0][0], rows(3, 4, 2)[2])


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", rows(3, 4, 2).astype(np.uint8))
    assert taken(tmp_path / "s.npy")[1][0].dtype == np.float32


def test_python_file(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(
        "import numpy as np\ndef representative():\n    for i in range(3):\n        yield [np.full((1, 4, 2), i)]\n"
    )
    got = taken(f"{tmp_path}/data.py:representative")
    assert [s[0][0, 0, 0] for s in got] == [0, 1, 2]


@pytest.mark.parametrize(
    "source",
    [
        rows(3, 4, 2),
        {"image": rows(3, 4, 2)},
        list(rows(3, 4, 2)),
        [(r,) for r in rows(3, 4, 2)],
        [{"img": r[None]} for r in rows(3, 4, 2)],
        lambda: iter(rows(3, 4, 2)),
    ],
    ids=["array", "dict", "list", "tuples", "dicts", "function"],
)
def test_python_sources(source: object) -> None:
    np.testing.assert_array_equal(np.concatenate([s[0] for s in taken(source)]), rows(3, 4, 2))


def test_images(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(3):
        Image.fromarray(np.full((9, 7, 3), 51 * i, np.uint8)).save(tmp_path / f"{i}.png")
    slot = [Slot("x", (), (1, 4, 4, 3), "float32")]
    assert [float(s[0].mean()) for s in taken(tmp_path, slot)] == pytest.approx([0, 0.2, 0.4])
    planar = [Slot("x", (), (1, 1, 4, 4), "float32")]
    options = ImageOptions((51.0,), (2.0,), "NCHW")
    got = taken(tmp_path, planar, images=options)
    assert got[2][0].shape == (1, 1, 4, 4)
    assert float(got[2][0].mean()) == pytest.approx(25.5)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SamplesError, match="contains no images"):
        taken(tmp_path / "empty", slot)


def test_num_samples_limits() -> None:
    assert len(taken(rows(5, 4, 2), num_samples=2)) == 2
    assert open_samples(rows(5, 4, 2), ONE, Reading(num_samples=2)).count == 2
    with pytest.raises(SamplesError, match="at least 1"):
        taken(rows(5, 4, 2), num_samples=0)


def test_float_samples_of_a_quantized_input_are_quantized() -> None:
    slot = [Slot("x", (), (1, 2), "int8", Quant.of(0.5, 1))]
    assert taken(np.float32([[1.0, -1.0]]), slot)[0][0].tolist() == [[3, -1]]


def test_batches_are_stacked() -> None:
    slot = [Slot("x", (), (2, 4), "float32")]
    got = taken(rows(3, 4), slot, batch=2)
    assert [s[0].shape for s in got] == [(2, 4), (2, 4)]
    np.testing.assert_array_equal(got[1][0][0], rows(3, 4)[2])


@pytest.mark.parametrize(
    "source",
    [
        [rows(5, 4, 2)[:3], rows(5, 4, 2)[3:]],
        lambda: iter([rows(5, 4, 2)[:3], rows(5, 4, 2)[3:]]),
        lambda: iter([[rows(5, 4, 2)[:3]], [rows(5, 4, 2)[3:]]]),
        lambda: iter([{"img": rows(5, 4, 2)[:3]}, {"image": rows(5, 4, 2)[3:]}]),
        lambda: iter([rows(5, 4, 2)[:3].tolist(), rows(5, 4, 2)[3:4], rows(5, 4, 2)[4]]),
    ],
    ids=["list", "function", "lists", "dicts", "one at the end"],
)
def test_batches_are_taken_apart(source: object) -> None:
    got = taken(source)
    assert [s[0].shape for s in got] == [(1, 4, 2)] * 5
    np.testing.assert_array_equal(np.concatenate([s[0] for s in got]), rows(5, 4, 2))


def test_batches_of_several_inputs_are_taken_apart() -> None:
    slots = [Slot("x", (), (1, 4), "float32"), Slot("y", (), (1, 2), "float32")]
    for item in ([rows(3, 4), rows(3, 2)], {"y": rows(3, 2), "x": rows(3, 4)}):
        got = taken([item], slots)
        assert [(a.shape, b.shape) for a, b in got] == [((1, 4), (1, 2))] * 3
        np.testing.assert_array_equal(got[2][0][0], rows(3, 4)[2])
    with pytest.raises(SamplesError, match="has shape"):
        taken([[rows(3, 4), rows(2, 2)]], slots)


def test_batches_become_runs_of_a_batch() -> None:
    slot = [Slot("x", (), (2, 4), "float32")]
    assert [s[0].shape for s in taken([rows(6, 4)], slot)] == [(2, 4)] * 3
    assert [s[0].shape for s in taken([rows(3, 4)], slot, batch=2)] == [(2, 4)] * 2


@pytest.mark.parametrize(
    ("source", "inputs", "says"),
    [
        (rows(3, 5, 2), ONE, 'sample 0, input "image": has shape [5, 2], the model expects [1, 4, 2]'),
        ([rows(1, 4, 2), np.full((1, 4, 2), np.nan)], ONE, 'sample 1, input "image": contains NaN'),
        ([np.full((1, 4, 2), np.inf)], ONE, "contains infinity"),
        ([np.full((1, 4, 2), 1e300)], ONE, "too large for float32"),
        (
            {"a": rows(3, 4, 2), "b": rows(3, 4, 2)},
            ONE,
            'do not match the inputs: 2 given ("a", "b"), 1 needed ("image" (float32 [1, 4, 2]))',
        ),
        ([np.array([["a"] * 2] * 4)], ONE, "has type"),
        ([], ONE, "there are no samples"),
        (iter([]), ONE, "there are no samples"),
        ([{"other": 1}], ONE, 'has no array for input "image" (float32 [1, 4, 2]); it has "other"'),
        ([(1, 2, 3)], TWO, "has 3 arrays, but the model has 2 inputs"),
        ([np.zeros(4)], TWO, "is one array, but the model has 2 inputs"),
        ([(np.zeros(4), np.array([0.5, 1]))], TWO, "contains fractions"),
        ([(np.zeros(4), np.array([2**40, 1]))], TWO, "outside the range of int32"),
        ({"a": rows(3, 4), "b": rows(2, 2)}, TWO, "different numbers of samples"),
        (42, ONE, "must be a path"),
        ("/nowhere/at/all.npz", ONE, "no such file"),
        ("/nowhere/at/all.py:f", ONE, "no such file"),
        (__file__, ONE, "not a source of samples"),
        (f"{__file__}:no_such_function", ONE, "has no function"),
    ],
)
def test_what_does_not_fit_is_named(source: object, inputs: list[Slot], says: str) -> None:
    with pytest.raises(SamplesError) as caught:
        parted(open_samples(source, inputs))
    assert says in str(caught.value)


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK nonsense")
    (tmp_path / "a.npy").write_bytes(b"nonsense")
    for name in ("a.npz", "a.npy"):
        with pytest.raises(SamplesError, match="not a readable"):
            taken(tmp_path / name)
    np.savez(tmp_path / "o.npz", image=np.array([{}], dtype=object))
    with pytest.raises(SamplesError, match="contains Python objects"):
        taken(tmp_path / "o.npz")


def test_what_a_function_prints_stays_out_of_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data.py").write_text("print('loading')\ndef f():\n    print('yielding')\n    yield [[[1, 2]] * 4]\n")
    assert len(taken(f"{tmp_path}/data.py:f")) == 1
    assert capsys.readouterr().out == ""


def test_exiting_function_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text("def f():\n    raise SystemExit(7)\n")
    with pytest.raises(SamplesError, match="SystemExit"):
        taken(f"{tmp_path}/data.py:f")


def test_mean_and_std_fit_the_channels(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(SamplesError, match="--mean has 2 values, the input has 3 channels"):
        taken(tmp_path, [Slot("x", (), (1, 4, 4, 3), "float32")], images=ImageOptions((1.0, 2.0)))


def test_failing_function_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text("def f():\n    yield [1 / 0]\n")
    with pytest.raises(SamplesError, match="ZeroDivisionError"):
        taken(f"{tmp_path}/data.py:f")


def parted(samples: Samples, **more: object) -> tuple[list[float], list[float], Held]:
    """The first value of each sample that calibrates, in order, those of the samples that judge, and what is left."""
    seen: list[tuple[int, float, int]] = []
    left = split(samples, lambda index, sample, run: seen.append((index, sample[0].flat[0], run)), **more)
    assert [index for index, _, _ in seen] == list(range(len(seen)))
    assert [*left.calibrated_runs] == [run for _, _, run in seen]
    return [value for _, value, _ in seen], [s[0].flat[0] for s in left.samples], left


def numbered(count: int, known: bool) -> object:
    data = np.arange(count, dtype=np.float32)[:, None, None] * np.ones((1, 4, 2), np.float32)
    return data if known else (r for r in data)


@pytest.mark.parametrize(("count", "held"), [(20, 4), (30, 4), (39, 4), (40, 4), (47, 4), (60, 6), (200, 20), (1000, 64)])
@pytest.mark.parametrize("known", [True, False])
def test_a_tenth_drawn_at_random_is_held_back(count: int, held: int, known: bool) -> None:
    calibrating, kept, left = parted(open_samples(numbered(count, known), ONE))
    assert sorted([*calibrating, *kept]) == list(range(count))
    assert (len(kept), left.calibrated, left.total, left.held_back) == (held, count - held, count, True)
    assert kept == [float(run) for run in left.runs]
    assert kept != list(range(count - held, count))  # not the last ones
    again = parted(open_samples(numbered(count, known), ONE))[1]
    other = parted(open_samples(numbered(count, known), ONE), seed=1)[1]
    assert again == kept != other


@pytest.mark.parametrize("known", [True, False])
def test_each_sample_has_the_same_chance_to_be_held_back(known: bool) -> None:
    """Of 1000 samples 64 are held back: early and late ones as often, within what chance allows."""
    runs = [run for seed in range(40) for run in parted(open_samples(numbered(1000, known), ONE), seed=seed)[2].runs]
    quarters = np.bincount(np.array(runs) // 250, minlength=4) / len(runs)
    assert np.abs(quarters - 0.25).max() < 0.05


@pytest.mark.parametrize("known", [True, False])
def test_samples_in_sequence_keep_their_order(known: bool) -> None:
    calibrating, kept, left = parted(open_samples(numbered(50, known), ONE), in_order=True)
    assert [*calibrating, *kept] == list(range(50))
    assert left.runs == (45, 46, 47, 48, 49)


@pytest.mark.parametrize("known", [True, False])
def test_under_twenty_samples_serve_both_ends(known: bool) -> None:
    calibrating, kept, left = parted(open_samples(numbered(19, known), ONE))
    assert calibrating == kept == list(range(19))
    assert (left.held_back, left.also, left.runs) == (False, (), tuple(range(19)))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_no_sample_is_both_calibrated_on_and_held_back(known: bool, seed: int) -> None:
    """Each picture twice: the same one on both sides would judge itself."""
    data = np.tile(np.arange(150, dtype=np.float32), 2)[:, None, None] * np.ones((1, 4, 2), np.float32)
    calibrating, kept, left = parted(open_samples(data if known else (r for r in data), ONE), seed=seed)
    assert not {*calibrating} & {*kept}
    assert sorted([*calibrating, *kept]) == list(range(150))
    assert (left.total, left.distinct, left.most_alike, left.held_back) == (300, 150, 2, True)


@pytest.mark.parametrize("known", [True, False])
def test_of_few_that_differ_none_is_held_back(known: bool) -> None:
    data = np.tile(np.arange(3, dtype=np.float32), 40)[:, None, None] * np.ones((1, 4, 2), np.float32)
    calibrating, kept, left = parted(open_samples(data if known else (r for r in data), ONE))
    assert sorted(calibrating) == sorted(kept) == [0, 1, 2]
    assert (left.total, left.distinct, left.held_back) == (120, 3, False)


def test_only_the_first_of_many_samples_are_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered does not grow with their number."""
    monkeypatch.setattr(held_back, "REMEMBERED", 100)
    data = np.tile(np.arange(150, dtype=np.float32), 2)[:, None, None] * np.ones((1, 4, 2), np.float32)
    calibrating, kept, left = parted(open_samples(data, ONE))
    again = {*range(100)}
    assert all([*calibrating, *kept].count(n) == (1 if n in again else 2) for n in range(150))
    assert (left.total, left.distinct) == (300, 200)


def test_the_digest_tells_samples_from_others() -> None:
    one, again, other = (parted(open_samples(data, ONE))[2].digest for data in (rows(30, 4, 2), rows(30, 4, 2), rows(31, 4, 2)))
    assert one == again != other and len(one) == 32


@pytest.mark.parametrize("numbers", [[], [5], [0, 1, 2, 4, 5, 6, 9, 10], [3, 2, 1, 1, 2], [*range(1000)]])
def test_numbers_that_follow_one_another(numbers: list[int]) -> None:
    found = Numbering()
    for n in numbers:
        found.append(n)
    assert [*found] == numbers == [found[i] for i in range(len(found))] == found[:]
    assert Numbering(found.stretches) == found
    assert len(Numbering(found.stretches)._places) == len(found.stretches) <= max(len(numbers), 1)
    with pytest.raises(IndexError):
        found[len(numbers)]


@pytest.mark.parametrize("batch", [1, 4])
def test_some_runs_are_those_of_all(tmp_path: Path, batch: int) -> None:
    """Also of a run that is filled up, and of compressed arrays."""
    np.savez_compressed(tmp_path / "s.npz", image=rows(10, 4, 2))
    slots = [Slot("image", (), (batch, 4, 2), "float32")]
    every = [s[0] for s in open_samples(tmp_path / "s.npz", slots, Reading(batch=batch))]
    runs = [0, len(every) // 2, len(every) - 1]
    some = [s[0] for s in open_samples(tmp_path / "s.npz", slots, Reading(batch=batch)).some(runs)]
    np.testing.assert_array_equal(some, [every[run] for run in runs])


def test_how_far_values_reach_is_known_of_samples_that_are_read_elsewhere(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.float32([[-1, 0], [2, 5]]))
    slots, reach = [Slot("x", (), (1, 2), "int8", Quant.of(0.1))], {}
    assert [run for run, _ in SampleFile(str(tmp_path / "s.npy"), slots, Reading()).runs([(0, 2)], reach)] == [0, 1]
    assert reach == {0: Range(-1.0, 5.0)}


def test_calibrated_samples_are_kept_to_judge() -> None:
    calibrating, _, left = parted(open_samples(numbered(400, True), ONE))
    assert [s[0].flat[0] for _, s in left.also] == calibrating[:256]
    assert [number for number, _ in left.also] == list(range(256))


def test_samples_can_be_left_out() -> None:
    calibrating, kept, left = parted(open_samples(numbered(60, True), ONE))
    less = left.without({0, 5}, {1})
    assert [s[0].flat[0] for s in less.samples] == [kept[0], *kept[2:]]
    assert (less.calibrated, less.held_back) == (52, True)
    assert [number for number, _ in less.also] == [n for n in range(54) if n not in (0, 5)]
    fewer = left.without({0}, {0, 1, 2})  # three of those held back are too few to judge alone
    assert [s[0].flat[0] for s in fewer.samples] == [*kept[3:], *calibrating[1:]]
    assert (fewer.held_back, fewer.also) == (False, ())
    _, kept, left = parted(open_samples(numbered(10, True), ONE))
    assert [s[0].flat[0] for s in left.without({2}, set()).samples] == [k for k in kept if k != 2]


def test_num_samples_are_drawn_from_what_is_known(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "s.npz", image=numbered(100, True))
    for source in (numbered(100, True), list(numbered(100, True)), tmp_path / "s.npz"):
        samples = open_samples(source, ONE, Reading(num_samples=10))
        drawn = [s[0].flat[0] for s in samples]
        assert drawn == sorted(drawn) != list(range(10))
        assert [samples.number(i) for i in range(10)] == drawn
    first = open_samples(numbered(100, True), ONE, Reading(num_samples=10, in_order=True))
    assert [s[0].flat[0] for s in first] == list(range(10))


def test_an_endless_stream_is_read_as_far_as_asked() -> None:
    def endless() -> object:
        number = 0
        while True:
            yield np.full((1, 4, 2), number, np.float32)
            number += 1

    assert [s[0].flat[0] for s in open_samples(endless, ONE, Reading(num_samples=7))] == list(range(7))


def test_synthetic_samples_repeat() -> None:
    a, b = (list(synthetic(TWO, 3)) for _ in range(2))
    np.testing.assert_array_equal(a[2][0], b[2][0])
    assert a[0][1].tolist() == [[0, 0]]


# --- images ---

GREY = [Slot("x", (), (1, 4, 4, 1), "float32")]


def test_images_of_sixteen_bits_are_scaled_by_their_depth(tmp_path: Path) -> None:
    """As the same picture in eight bits: 257 times the value."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (4, 4)).astype(np.uint16)
    Image.fromarray((pixels * 257).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "plain.png")
    deep, plain = (s[0] for s in taken(tmp_path, GREY))
    np.testing.assert_allclose(deep, plain, atol=1e-6)
    for channels in (3, 4):
        colours = taken(tmp_path, [Slot("x", (), (1, 4, 4, channels), "float32")])
        np.testing.assert_allclose(colours[0][0], colours[1][0], atol=1e-6)


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"Mac")
    assert len(taken(tmp_path, GREY)) == 1


def png_of(width: int, height: int) -> bytes:
    """The head of a PNG that claims this size."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [11_000, 60_000])
def test_a_decompression_bomb_is_refused(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png_of(side, side))
    with pytest.raises(SamplesError, match=r"a\.png: .*pixels .*scale it down, or remove it"):
        taken(tmp_path, GREY)


def test_an_image_without_a_depth_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(SamplesError, match=r"a\.tiff: pixels of F have no depth to scale them by; give a \.npz instead"):
        taken(tmp_path, GREY)


# --- arrays by name, labels, functions ---


def test_an_array_is_chosen_by_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=rows(3, 4, 2), others=rows(3, 9))
    np.testing.assert_array_equal(taken(f"{tmp_path}/d.npz:images")[1][0][0], rows(3, 4, 2)[1])
    with pytest.raises(SamplesError, match='has no array "nothing"; it has "images", "others"'):
        taken(f"{tmp_path}/d.npz:nothing")
    with pytest.raises(SamplesError, match=r"FILE\.npz:NAME chooses one array"):
        taken(tmp_path / "d.npz")


def test_an_input_without_samples_is_named() -> None:
    for given in ({"a": rows(3, 4)}, {"a": rows(3, 4), "c": rows(3, 2)}):
        with pytest.raises(SamplesError, match=r'there are no samples for input "b" \(int32 \[1, 2\]\); the arrays are "a"'):
            taken(given, TWO)


def test_names_that_exporters_changed_are_known() -> None:
    inputs = [Slot("serving_default_image:0", (), (1, 4), "float32"), Slot("net/depth:0", (), (1, 4), "float32")]
    first = taken({"depth": np.ones((2, 4)), "image": np.zeros((2, 4))}, inputs)[0]
    assert [float(a.max()) for a in first] == [0, 1]


@pytest.mark.parametrize("form", ["key", "npy", "npz", "text", "list", "one hot"])
def test_labels(tmp_path: Path, form: str) -> None:
    right = [3, 1, 0]
    np.savez(tmp_path / "s.npz", image=rows(3, 4, 2), label=np.array(right))
    np.save(tmp_path / "y.npy", np.array(right, np.float32))
    np.savez(tmp_path / "y.npz", y=np.array(right)[:, None])
    (tmp_path / "y.txt").write_text("3\n1\n0\n")
    forms = {"key": "label", "npy": str(tmp_path / "y.npy"), "npz": str(tmp_path / "y.npz"), "text": tmp_path / "y.txt"}
    given = {**forms, "list": right, "one hot": np.eye(4)[right]}[form]
    samples = open_samples(tmp_path / "s.npz" if form == "key" else rows(3, 4, 2), ONE, Reading(labels=given))
    assert len(list(samples)) == 3
    assert [samples.labels_of(run).tolist() for run in range(3)] == [[3], [1], [0]]


def test_labels_by_folder(tmp_path: Path) -> None:
    from PIL import Image

    for folder, count in (("cat", 2), ("ant", 1)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.fromarray(np.full((4, 4), 50, np.uint8)).save(tmp_path / folder / f"{i}.png")
    assert open_samples(tmp_path, GREY, Reading(labels="folders")).labels.tolist() == [0, 1, 1]
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "loose.png")
    with pytest.raises(SamplesError, match=r"loose\.png: lies in no folder of a class"):
        open_samples(tmp_path, GREY, Reading(labels="folders"))


def test_labels_follow_the_samples_that_are_drawn() -> None:
    samples = open_samples(numbered(50, True), ONE, Reading(num_samples=8, labels=np.arange(50)))
    drawn = [int(s[0].flat[0]) for s in samples]
    assert [int(samples.labels_of(run)[0]) for run in range(8)] == drawn
    batched = open_samples(rows(5, 4), [Slot("x", (), (2, 4), "float32")], Reading(batch=2, labels=[5, 6, 7, 8, 9]))
    assert [batched.labels_of(run).tolist() for run in range(3)] == [[5, 6], [7, 8], [9]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([1, 2], "there are 2 labels for 3 samples: give one for each"),
        ([0.5, 1, 2], "not one class number per sample"),
        ("nothing", 'no labels called "nothing"'),
        (np.zeros((3, 2, 2)), "not one class number per sample"),
        (7, "not one class number per sample"),
    ],
)
def test_labels_that_are_none_are_refused(given: object, says: str) -> None:
    with pytest.raises(SamplesError, match=says):
        open_samples(rows(3, 4, 2), ONE, Reading(labels=given))


def test_a_function_may_import_its_neighbours(tmp_path: Path) -> None:
    """When the file is read, and when the function runs; the path is as it was afterwards."""
    import sys

    (tmp_path / "near.py").write_text("import numpy as np\nROWS = np.zeros((2, 4, 2), np.float32)\n")
    (tmp_path / "later.py").write_text("FACTOR = 3\n")
    (tmp_path / "rep.py").write_text(
        "from near import ROWS\n\ndef gen():\n    from later import FACTOR\n    for row in ROWS:\n        yield [row + FACTOR]\n"
    )
    before = list(sys.path)
    try:
        assert [float(s[0].max()) for s in taken(f"{tmp_path}/rep.py:gen")] == [3, 3]
    finally:
        for name in ("near", "later", "rep"):
            sys.modules.pop(name, None)
    assert sys.path == before
