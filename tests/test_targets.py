"""Results for a target run there: forms that it has kernels for, its own software as a judge, its refusals by name."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import calibrate, evaluate, run
from half import Half
from op_examples import EXAMPLES

import fullint
from fullint.calibration.observed import observed_tensors
from fullint.delegates import openvino, qualcomm, tflm, tflm_software, vela
from fullint.delegates.litert_plugin import Plugin
from fullint.delegates.micro_kernels import optimized
from fullint.delegates.targets import delegate_targets
from fullint.errors import RuntimeFailure
from fullint.model.ir import Model
from fullint.model.ranges import Range
from fullint.model.tflite import read_bytes
from fullint.ops import ROWS
from fullint.ops.builder import Builder
from fullint.passes.byte_tables import with_byte_tables
from fullint.quantization.assign import assign
from fullint.quantization.emit import emit
from fullint.quantization.lookup_tables import compute_tables
from fullint.verification.kernel_outputs import integer_inputs

micro = pytest.mark.skipif(not tflm_software.installed(), reason="needs tflite-micro")
FINITE = {"RSQRT": Range(0.0, 8.0), "LOG": Range(-5.0, 2.0)}
TFLMS_OWN = {("RSQRT", "int16"): 600, ("SOFTMAX", "int16"): 3, ("LOGISTIC", "int16"): 3, ("TANH", "int16"): 3}
"""Steps of 65536 that its kernels are from LiteRT's, which look values up in tables of 512 entries."""
UNSEEN = {("LOG", "int8")}
"""It has no range at 0."""


def integer_example(kind: str, dtype: str) -> tuple[Model, list[np.ndarray]]:
    """The example of a row in integers, and its inputs."""
    g = Builder()
    values = EXAMPLES[kind](g)
    model = g.model()
    tensors = list(model.main.inputs) if kind in FINITE else observed_tensors(model)
    stats = calibrate(model, tensors, values)
    ranges = {**stats.ranges} | ({model.main.outputs[0]: FINITE[kind]} if kind in FINITE else {})
    assignment = assign(model, replace(stats.measured, ranges=ranges), inputs=dtype)
    assignment = replace(assignment, tables=compute_tables(model, assignment, evaluate))
    made = emit(model, assignment).model
    return made, integer_inputs(made, values)


PAIRS = [(k, t) for k, row in ROWS.items() for t in ("int8", "int16") if t == "int8" or row.int16]


@micro
@pytest.mark.parametrize(("kind", "dtype"), [p for p in PAIRS if p not in UNSEEN])
def test_the_table_says_what_tensorflow_lite_micro_does(kind: str, dtype: str) -> None:
    """Rows that are not in `LACKS` run there with LiteRT's results; those that are do not, or compute something else."""
    model, inputs = integer_example(kind, dtype)
    found = tflm_software.run(model, [x[None] for x in inputs])
    try:
        expected = run(model, inputs, "reference")
    except RuntimeFailure:
        expected = run(model, inputs, "builtin")
    far = [int(np.abs(a.astype(np.int64) - b[0].astype(np.int64)).max()) for a, b in zip(expected, found.outputs, strict=False)]
    same = not found.why and max(far) <= TFLMS_OWN.get((kind, dtype), 2)
    registered = all(op.kind in tflm.KNOWN for op in model.main.ops)
    lacking = kind if kind in ROWS and kind != "LOOKUP" else "GATHER"
    assert same == (registered and dtype not in tflm.LACKS.get(lacking, ())), (found.why, far)


def floats(*shape: int, count: int = 24, low: float = -3.0, high: float = 3.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(low, high, shape).astype(np.float32) for _ in range(count)]


def chain(g: Builder, kind: str) -> None:
    x = g.conv(g.input(1, 4, 4, 4))
    if kind == "RELU6":
        x = g.op("RELU6", g.op("TANH", x))
    elif kind == "TILE":
        x = g.op("TILE", x, g.const(np.int32([1, 2, 1, 3])), shape=(1, 8, 4, 12))
    elif kind == "SELECT":
        x = g.op("SELECT", g.op("GREATER", x, g.const(np.float32(0)), dtype="bool"), x, g.op("MUL", x, g.const(np.float32(0.1))))
    elif kind in ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER_EQUAL"):
        chosen = g.op(kind, x, g.op("RELU", x), dtype="bool")
        x = g.op("SELECT_V2", chosen, x, g.op("MUL", x, g.const(np.float32(0.1))))
    else:
        x = g.op(kind, g.op("ABS", x) if kind in ("SQRT", "LOG", "RSQRT") else x)
    g.output(x)


@micro
@pytest.mark.parametrize("activations", ["int8", "int16"])
@pytest.mark.parametrize(
    "kind",
    "EXP SQRT GELU RELU6 TILE SELECT HARD_SWISH ELU SIN FLOOR EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER_EQUAL".split(),
)
def test_what_tensorflow_lite_micro_lacks_is_written_with_what_it_has(g: Builder, kind: str, activations: str) -> None:
    chain(g, kind)
    data = g.bytes()
    result = fullint.quantize(data, floats(1, 4, 4, 4), target="tflm", activations=activations)
    (own,) = [s for s in result.report.certificate.kernel_sets if s.name == "tflm"]
    assert own.status == "ran" and own.samples == 4 and own.disagreement_steps <= 2
    elsewhere = fullint.quantize(data, floats(1, 4, 4, 4), activations=activations)
    assert result.report.certificate.sqnr_db > elsewhere.report.certificate.sqnr_db - 1
    assert not any(why for why in delegate_targets()["tflm"].answer(read_bytes(result.model), "").reasons.values())
    (ran,) = tflm_software.run_models([result.model], least=True)
    assert ran.arena > 0


@micro
def test_its_refusal_is_an_error_that_names_the_operator(g: Builder) -> None:
    x = g.dense(g.input(1, 16), 12)
    values, places = g.op("TOPK_V2", x, g.const(np.int32(3)), shape=(1, 3), outputs=2)
    places.dtype = "int32"
    g.output(values, places)
    with pytest.raises(fullint.NotIntegerError, match="in a form that tflm runs") as refused:
        fullint.quantize(g.bytes(), floats(1, 16), target="tflm")
    (blocker,) = refused.value.blockers
    assert (blocker.kind, blocker.output) == ("TOPK_V2", values.name)
    assert "TensorFlow Lite Micro" in blocker.cause and "does not have TOPK_V2" in blocker.cause


@micro
def test_tables_of_bytes_are_exact(g: Builder) -> None:
    g.output(g.op("SIN", g.input(1, 256)))
    result = fullint.quantize(g.bytes(), floats(1, 256, count=40), activations="int16")
    model = read_bytes(result.model)
    apart = read_bytes(result.model)
    assert with_byte_tables(apart, tflm.LACKS)
    codes = np.linspace(-32768, 32767, 256).astype(np.int16).reshape(1, 256)
    (whole,), (bytes_,) = (run(m, [codes], "reference") for m in (model, apart))
    assert np.array_equal(whole, bytes_)
    assert np.array_equal(tflm_software.run(apart, [codes[None]]).outputs[0][0], whole)


@micro
def test_a_large_model_is_no_refusal() -> None:
    """Activations of 72 MB: more than the arena that is tried first."""
    g = Half()
    x = g.coded(1, 2200, 2048, 8, scale=0.1, zero=0)
    g.output(g.int_op("RELU", x, scale=0.1, zero=0))
    (found,) = tflm_software.run_models([g.model()])
    assert not found.why


@micro
def test_a_model_that_ends_the_process_takes_nothing_down() -> None:
    found = tflm_software.run_models([b"junk" * 40, fullint.quantize(_dense(), floats(1, 8)).model, b""])
    assert [bool(r.why) for r in found] == [True, False, True]


def _dense() -> bytes:
    g = Builder(seed=3)
    g.output(g.dense(g.input(1, 8), 4))
    return g.bytes()


def test_what_stays_on_the_cpu_is_a_warning(g: Builder) -> None:
    g.output(g.op("GELU", g.conv(g.input(1, 8, 8, 4))))
    result = fullint.quantize(g.bytes(), floats(1, 8, 8, 4), target="edgetpu")
    (said,) = [w for w in result.report.warnings if w.startswith("edgetpu leaves")]
    assert "op 1 GELU" in said and "does not support GELU" in said


def deep() -> bytes:
    g = Builder(seed=5)
    x = g.conv(g.input(1, 16, 16, 3, name="picture */ \\"), 8, activation="RELU")
    x = g.op("MUL", x, g.op("TANH", x))
    g.output(g.op("SOFTMAX", g.dense(g.reshape(g.depthwise(x), 1, -1), 5), beta=1.0))
    return g.bytes()


@micro
def test_the_arena_that_is_said_is_the_smallest() -> None:
    result = fullint.quantize(deep(), floats(1, 16, 16, 3), target="tflm", min_sqnr=0)
    found = fullint.inspect(result.model, target="tflm").micro
    assert found is not None and found.flash == len(result.model)
    assert found.arena >= found.persistent + found.activations
    assert [fits(result.model, found.arena), fits(result.model, int(found.arena * 0.9))] == [True, False]
    assert found.resolver == (
        "AddConv2D()",
        "AddDepthwiseConv2D()",
        "AddFullyConnected()",
        "AddMul()",
        "AddReshape()",
        "AddSoftmax()",
        "AddTanh()",
    )
    main = read_bytes(result.model).main
    assert main.ops[found.peak].kind == "MUL" and [t.bytes for t in found.alive] == [2048] * 3
    (own,) = [s for s in result.report.certificate.kernel_sets if s.name == "tflm"]
    assert own.facts == (f"arena {found.arena:,} B on a 64-bit host, less where pointers are shorter",)


def fits(model: bytes, arena: int) -> bool:
    script = "import sys; from tflite_micro.python.tflite_micro import runtime as r; r.Interpreter.from_bytes"
    call = f"{script}(sys.stdin.buffer.read(), arena_size={arena})"
    done = subprocess.run([sys.executable, "-c", call], input=model, capture_output=True, check=False)
    return done.returncode == 0


@micro
@pytest.mark.parametrize("command", ["quantize", "repair"])
def test_c_sources_have_the_model_and_what_it_needs(tmp_path: Path, command: str) -> None:
    (tmp_path / "float.tflite").write_bytes(deep())
    np.save(tmp_path / "samples.npy", np.concatenate(floats(1, 16, 16, 3)))
    half = fullint.quantize(deep(), floats(1, 16, 16, 3), keep_float="TANH", min_sqnr=0).model
    (tmp_path / "half.tflite").write_bytes(half)
    given = ["float.tflite", "-c", "samples.npy"] if command == "quantize" else ["half.tflite", "-c", "samples.npy"]
    words = [command, *given, "-o", "out.tflite", "--target", "tflm", "--c-array", "net", "--min-sqnr", "0"]
    run_command = [sys.executable, "-m", "fullint", *words]
    subprocess.run(run_command, cwd=tmp_path, check=True, capture_output=True)
    again = subprocess.run(run_command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert again.returncode == 2 and "--force" in again.stderr
    made = (tmp_path / "out.tflite").read_bytes()
    header = (tmp_path / "net.h").read_text()
    assert f"#define NET_ARENA_BYTES {fullint.inspect(made, target='tflm').micro.arena}" in header
    assert "(resolver).AddDepthwiseConv2D();" in header and "#define NET_OUTPUT_0_SCALE 0.00390625f" in header
    code = bytes(int(b, 16) for b in re.findall("0x[0-9a-f]{2}", (tmp_path / "net.cc").read_text()))
    assert code == made
    program = """#include <stdio.h>
    #include "net.h"
    int main() { printf("%u %d %d", net_len, NET_OPERATORS, NET_INPUT_0_ZERO_POINT); return (unsigned long)net % 16; }"""
    (tmp_path / "main.cc").write_text(program)
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    subprocess.run("gcc -Wall -Werror main.cc net.cc -lstdc++ -o main".split(), cwd=tmp_path, check=True)
    said = subprocess.run([str(tmp_path / "main")], capture_output=True, text=True, check=True).stdout.split()
    main = read_bytes(made).main
    assert said == [str(len(made)), str(len({op.kind for op in main.ops})), str(main.inputs[0].quant.zero_point[0])]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--target", "tflm", "--c-array", "1st"], "is no name in C"),
        (["--target", "tflm", "--c-array", "net.cc"], "is no name in C"),
        (["--c-array", "net"], "add --target tflm"),
        (["--target", "tflm", "--c-array", "nowhere/net"], "no such folder"),
    ],
)
def test_names_of_sources_are_looked_at_before_the_work(tmp_path: Path, words: list[str], says: str) -> None:
    command = [sys.executable, "-m", "fullint", "quantize", "missing.tflite", "--synthetic", "-o", "o.tflite", *words]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 2 and says in done.stderr


@micro
def test_several_targets_are_all_satisfied(g: Builder) -> None:
    """Look-ups run on TensorFlow Lite Micro, and are left to the CPU by Vela; the warning is Vela's."""
    g.output(g.dense(g.reshape(g.op("EXP", g.conv(g.input(1, 8, 8, 4))), 1, -1), 5))
    result = fullint.quantize(g.bytes(), floats(1, 8, 8, 4), target="tflm,ethos-u:ethos-u55-64")
    assert [s.name for s in result.report.certificate.kernel_sets][-1] == "tflm"
    left = [w for w in result.report.warnings if w.startswith("ethos-u leaves")]
    assert len(left) == (1 if delegate_targets()["ethos-u"].software.installed() else 0)
    report = fullint.partition(result.model, "tflm,edgetpu")
    assert (report.target, [o.target for o in report.others]) == ("tflm", ["edgetpu"]) and report.refused == ()
    assert "target edgetpu" in str(report)


@pytest.mark.parametrize("target", ["tpu", "tflm,", "tflm,tpu", ""])
def test_unknown_targets_are_refused(g: Builder, target: str) -> None:
    g.output(g.conv(g.input(1, 8, 8, 4)))
    with pytest.raises(fullint.UsageError, match="target must be one of litert, tflm, ethos-u, edgetpu, qualcomm, openvino"):
        fullint.quantize(g.bytes(), floats(1, 8, 8, 4), target=target)
    with pytest.raises(fullint.UsageError, match="target must be one of"):
        fullint.audit(g.bytes(), target=target)


@pytest.mark.parametrize("target", ["tflm:x", "litert:x"])
def test_a_configuration_of_a_target_without_any_is_refused(g: Builder, target: str) -> None:
    g.output(g.conv(g.input(1, 8, 8, 4)))
    with pytest.raises(fullint.UsageError, match="takes nothing after a colon"):
        fullint.quantize(g.bytes(), floats(1, 8, 8, 4), target=target)


QNN_SAYS = """INFO: [qnn_manager.cc:200] Loaded qnn shared library
QNN op validation failed: 'ElementWiseUnary_2' (type=ElementWiseUnary, operation=Exp)
    [0] name="0_litert_1" dtype=QNN_DATATYPE_SFIXED_POINT_8 dims=[1,8,8,8] per-tensor-quant
LiteRT Op #1 'Exp' (code=47) is not supported in Qualcomm Compiler.
     0.0ms [ ERROR ]   <E> failed 3110
     0.0ms [ ERROR ]   <E> Unsupported input/output datatypes requested for the HTP Op 'LogSoftmax'
QNN op validation failed: 'LogSoftmax_6' (type=LogSoftmax)
LiteRT Op #5 'LogSoftmax' (code=50) is not supported in Qualcomm Compiler.
INFO: Partitioned subgraph<0>, selected 4 ops, from a total of 6 ops. resulted in 2 partitions.
"""


def test_what_qnn_says() -> None:
    assert qualcomm.reasons_of(QNN_SAYS) == {
        1: "its validator refuses type=ElementWiseUnary, operation=Exp of SFIXED_POINT_8",
        5: "Unsupported input/output datatypes requested for the HTP Op 'LogSoftmax'",
    }


@pytest.mark.skipif(not delegate_targets()["qualcomm"].software.installed(), reason="needs onnxruntime-qnn")
def test_qualcomms_compiler_answers(g: Builder) -> None:
    """EXP as an operator is refused; with --target qualcomm it is a look-up, which is taken."""
    g.output(g.dense(g.reshape(g.op("EXP", g.conv(g.input(1, 8, 8, 4))), 1, -1), 5))
    plain = fullint.quantize(g.bytes(), floats(1, 8, 8, 4))
    report = fullint.partition(plain.model, "qualcomm")
    assert [x.kind for x in report.refused] == ["EXP"] and report.source.startswith("QNN (onnxruntime-qnn")
    assert (report.target, report.one_cut.partitions) == ("qualcomm:SM8750", 1)
    made = fullint.quantize(g.bytes(), floats(1, 8, 8, 4), target="qualcomm")
    assert not [w for w in made.report.warnings if "qualcomm" in w]
    assert fullint.partition(made.model, "qualcomm:SM8650").refused == ()
    with pytest.raises(fullint.UsageError, match="the name of a chip"):
        fullint.partition(plain.model, "qualcomm:../x")


OPENVINO_SAYS = """INFO: [compiler_plugin.cc:524] Partition strategy: 0
INFO: [openvino_compiler_plugin.cc:497] op type 111 is not supported
INFO: [openvino_compiler_plugin.cc:497] op type 48 is not supported
INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 3 ops, from a total of 5 ops. resulted in 2 partitions.
INFO: [openvino_compiler_plugin.cc:497] op type 119 is not supported
"""


def test_what_openvino_says(g: Builder) -> None:
    """A kind is refused as a whole; of TOPK_V2, what has no constant number of values; other graphs do not count."""
    x = g.op("ELU", g.input(1, 8))
    places = g.input(dtype="int32")
    first, _ = g.op("TOPK_V2", x, g.const(np.int32(3)), shape=(1, 3), outputs=2)
    second, _ = g.op("TOPK_V2", x, places, shape=(1, 3), outputs=2)
    g.output(first, second, g.op("RELU", x))
    model = g.model()
    said = {op.output_name: why for op, why in openvino.reasons_of(OPENVINO_SAYS, model).items()}
    assert said == {x.name: "Intel's plugin takes no ELU", second.name: "Intel's plugin takes no TOPK_V2 of this form"}


@pytest.mark.skipif(not delegate_targets()["openvino"].software.installed(), reason="needs openvino")
def test_openvinos_plugin_answers(g: Builder) -> None:
    """ELU as an operator is refused; with --target openvino it is a look-up, which is taken."""
    g.output(g.dense(g.reshape(g.op("ELU", g.conv(g.input(1, 8, 8, 4))), 1, -1), 5))
    plain = fullint.quantize(g.bytes(), floats(1, 8, 8, 4))
    report = fullint.partition(plain.model, "openvino")
    assert [x.kind for x in report.refused] == ["ELU"] and report.source.startswith("OpenVINO (openvino 2026")
    assert (report.target, report.one_cut.partitions) == ("openvino:PTL", 1)
    made = fullint.quantize(g.bytes(), floats(1, 8, 8, 4), target="openvino")
    assert not [w for w in made.report.warnings if "openvino" in w]
    assert fullint.partition(made.model, "openvino:LNL").refused == ()
    with pytest.raises(fullint.UsageError, match="the name of a chip"):
        fullint.partition(plain.model, "openvino:../x")


def test_a_release_that_the_plugin_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteRT's plugins load libraries of one release of the vendor's package."""
    says = "└ Could not load shared library /x/libP.so: libopenvino.so.2631: cannot open shared object file: No such file."
    monkeypatch.setattr(Plugin, "_run", lambda *_: says)
    monkeypatch.setattr(Plugin, "installed", lambda _: True)
    with pytest.raises(fullint.UsageError, match=r"needs libopenvino\.so\.2631, which this release of openvino has not"):
        openvino.OPENVINO.said_of(b"", "PTL", "openvino")


def slow_on(library: str, model: Model) -> dict[str, str]:
    (found,) = [x for x in optimized(model) if x.library == library]
    return {f"{x.kind} {x.index}": x.why for x in found.slow}


def test_what_optimized_kernels_do_not_compute_is_named() -> None:
    g = Half()
    x = g.int_conv(g.coded(1, 8, 8, 4))
    spread = g.int_op("MEAN", x, g.const([1, 2], "int32"), shape=(1, 1, 1, 4), keep_dims=True, scale=0.1, zero=0)
    y = g.int_op("ADD", x, spread, scale=0.1, zero=0)
    y = g.int_op("ADD", y, y, scale=0.1, zero=0)
    y = g.int_op("MAX_POOL_2D", y, shape=(1, 4, 4, 4), stride_w=2, stride_h=2, filter_width=2, filter_height=2, scale=0.1, zero=0)
    g.output(g.int_op("MAXIMUM", y, y, scale=0.1, zero=0))
    model = g.model()
    shapes = "its operands have different shapes: it runs in the reference kernel"
    assert slow_on("CMSIS-NN", model) == {"MEAN 1": "CMSIS-NN has no kernel for it", "ADD 2": shapes}
    nothing = "ESP-NN has no kernel for it"
    assert slow_on("ESP-NN", model) == {"MEAN 1": nothing, "ADD 2": shapes, "MAXIMUM 5": nothing}
    (arm, _) = optimized(model)
    assert (arm.operators, arm.macs_share) == (4, 1.0)


@pytest.mark.parametrize(
    ("filters", "dilation", "dtype", "arm", "esp"),
    [
        (1, 1, "int8", "", ""),
        (2, 1, "int8", "2 filters per channel", ""),
        (1, 2, "int8", "the fast kernels take no dilation", "it is dilated"),
        (1, 1, "int16", "the plain kernel for int16", "int16 activations"),
    ],
)
def test_limits_of_depthwise_convolutions(g: Builder, filters: int, dilation: int, dtype: str, arm: str, esp: str) -> None:
    g.output(g.depthwise(g.input(1, 9, 9, 4), multiplier=filters))
    g.graph.ops[-1].options.update(dilation_w_factor=dilation, dilation_h_factor=dilation)
    model = read_bytes(fullint.quantize(g.bytes(), floats(1, 9, 9, 4), activations=dtype, min_sqnr=0).model)
    for library, why in (("CMSIS-NN", arm), ("ESP-NN", esp)):
        said = slow_on(library, model)
        assert why in next(iter(said.values()), "") and bool(said) == bool(why), said


@pytest.mark.skipif(not delegate_targets()["ethos-u"].software.installed(), reason="needs Vela")
def test_a_compiler_that_fails_is_a_warning(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result does not depend on it."""

    def fail(model: Model, config: str) -> None:
        raise RuntimeFailure("Vela failed on the model: KeyError: '0'")

    monkeypatch.setattr(vela, "verdicts", fail)
    g.output(g.conv(g.input(1, 8, 8, 4)))
    result = fullint.quantize(g.bytes(), floats(1, 8, 8, 4), target="ethos-u")
    assert "what ethos-u takes is not known: Vela failed on the model: KeyError: '0'" in result.report.warnings
