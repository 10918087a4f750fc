"""Snippets give the codes and values that fullint itself gives, in each language, whatever tensors and files are called."""

import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

import fullint
from fullint import demo
from fullint.auditing.snippets import SNIPPETS
from fullint.cli import main
from fullint.errors import UsageError
from fullint.model.ir import Quant
from fullint.model.numerics import dequantize, quantize
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.options.choices import SNIPPET_LANGUAGES
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs, real

FILES = Path(demo.__file__).parent
MODEL, SAMPLES = FILES / "digits.tflite", FILES / "calibration.npz"
PORTS = (
    ("int8", (1, 2, 600), Quant.of(0.1, 3)),
    ("uint8", (1200,), Quant.of(1.7e-5, 200)),
    ("int16", (2, 600), Quant.of(3.5, 0)),
    ("float32", (), None),
    ("int32", (1, 12), None),
    ("int64", (1, 1), None),
    ("bool", (3,), None),
    ("int8", (2,), None),
)
"""Types, shapes and parameters of inputs, each of which goes through the model unchanged."""
HOSTILE = ('"""', "*/ evil() /*", "a\nevil()\r", "back\\", "??/", "int", "日本\u202e", "", "", "coding: rot13", "${evil()}")
NASTY_FILE = 'a"${b}\\n ??= é;\n*.tflite'
COMMENTS = {"python": "#", "cpp": "//", "c": "//", "kotlin": "//"}
GCC, GXX, KOTLINC = (shutil.which(name) for name in ("gcc", "g++", "kotlinc"))
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")


def echo(ports=PORTS, names=()) -> bytes:
    """A model whose outputs are its inputs."""
    g = Builder()
    for index, (dtype, shape, quant) in enumerate(ports):
        x = g.input(*shape, dtype=dtype)
        y = g.op("RESHAPE", x, g.const(np.int32(list(shape))), shape=shape, new_shape=list(shape), dtype=dtype)
        x.quant = y.quant = quant
        if names:
            x.name = y.name = names[index]
        g.output(y)
    return g.bytes()


def values() -> list[np.ndarray]:
    """For each of PORTS: every tie and step near the range, values far outside it, and anything between."""
    given = []
    for dtype, shape, quant in PORTS:
        if quant is None:
            given.append(np.arange(np.prod(shape)).reshape(shape).astype(dtype))
            continue
        halves = np.arange(-600, 594) * np.float32(0.5) - int(quant.zero_point[0])
        far = np.float32([-1e30, -65535, 65535, 1e30, -1e9, 1e9])
        given.append((np.append(halves, far).astype(np.float32) * quant.scale[0]).reshape(shape))
    return given


def expected() -> list[np.ndarray]:
    """What the model gives back of these."""
    pairs = zip(values(), PORTS, strict=True)
    return [dequantize(quantize(v, quant, dtype), quant) if quant is not None else v for v, (dtype, _, quant) in pairs]


def run_python(folder: Path, path: Path, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The results of the function in a snippet, in a process of its own; and the snippet runs as a script."""
    (folder / "snippet.py").write_text(fullint.inspect(path, "python").snippet)
    np.savez(folder / "inputs.npz", *inputs)
    driver = "import numpy as np, snippet\nwith np.load('inputs.npz') as f: found = snippet.run(*f.values())\n"
    driver += "np.savez('outputs.npz', *(found if isinstance(found, tuple) else (found,)))\n"
    for command in (["-c", f"import sys; sys.path.insert(0, '.')\n{driver}"], ["snippet.py"]):
        done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "array(" in done.stdout or done.stdout.startswith("[")
    with np.load(folder / "outputs.npz") as found:
        return list(found.values())


def run_fullint(data: bytes, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The same, as fullint runs models."""
    model = read_bytes(data)
    with model_file(data) as path, WorkerProcess() as worker:
        worker.call(Open(path, "xnnpack", 1))
        found = worker.call(Run(integer_inputs(model, inputs)))
    return [real(a, t) for a, t in zip(found, model.main.outputs, strict=True)]


def check_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "form", [{}, {"io": "uint8"}, {"io": "float32"}, {"io": "int8,float32"}, {"activations": "int16"}], ids=str
)
def test_python_gives_what_fullint_gives(tmp_path: Path, form: dict[str, str]) -> None:
    result = fullint.quantize(MODEL, SAMPLES, threads=1, **form)
    (tmp_path / "m.tflite").write_bytes(result.model)
    with np.load(FILES / "test.npz") as test:
        image = test["image"][:1].astype(np.float32)
    found = run_python(tmp_path, tmp_path / "m.tflite", [image])
    assert len(found) == 2 and all(a.dtype == np.float32 and a.std() > 0 for a in found)
    check_same(found, run_fullint(result.model, [image]))


def test_python_with_several_inputs_and_outputs(tmp_path: Path) -> None:
    """Two inputs that would be refused in each other's place, one of them of integers, and two outputs."""
    g = Builder()
    x, y, ids = g.input(1, 6, 6, 3, name="x"), g.input(1, 6, 6, 8, name="y"), g.input(1, 4, dtype="int32", name="ids")
    g.output(g.op("ADD", g.conv(x, 8), y), g.op("GATHER", g.random(10, 5), ids, shape=(1, 4, 5), axis=0, batch_dims=0))
    data = g.bytes()
    rows = samples_like(read_bytes(data), 12)
    for i, row in enumerate(rows):
        row["ids"] = np.int32([[i % 10, 1, 2, 9]])
    model = fullint.quantize(data, rows, threads=1).model
    (tmp_path / "m.tflite").write_bytes(model)
    given = [rows[0][n] for n in ("x", "y", "ids")]
    check_same(run_python(tmp_path, tmp_path / "m.tflite", given), run_fullint(model, given))


def test_python_rounds_as_fullint_does(tmp_path: Path) -> None:
    """Codes of all types, at ties and far outside, and values that are not codes; from a file of a nasty name."""
    path = tmp_path / NASTY_FILE
    path.write_bytes(echo())
    check_same(run_python(tmp_path, path, values()), expected())


def test_one_output_is_an_array_and_a_model_may_have_no_input(tmp_path: Path) -> None:
    g = Builder()
    g.output(g.op("NEG", g.const(np.float32([1, 2])), shape=(2,)))
    (tmp_path / "m.tflite").write_bytes(g.bytes())
    assert "    return output_0\n" in fullint.inspect(tmp_path / "m.tflite", "python").snippet
    check_same(run_python(tmp_path, tmp_path / "m.tflite", []), [np.float32([-1, -2])])


def compiled(folder: Path, *command: str, given: str = "") -> str:
    """What a program prints that was compiled by a command, which ends with the name of the program."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([f"./{command[-1]}"], cwd=folder, capture_output=True, text=True, check=False, input=given)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


QUANTIZED = [(i, dtype, quant) for i, (dtype, _, quant) in enumerate(PORTS) if quant is not None]


@pytest.mark.skipif(GCC is None, reason="no gcc")
@pytest.mark.parametrize("language", ["c", "c++"])
def test_c_is_c99_and_gives_the_same_codes(tmp_path: Path, language: str) -> None:
    """As a header of a program in C, and in C++, where the interpreter for microcontrollers is."""
    (tmp_path / "m.tflite").write_bytes(echo())
    (tmp_path / "m.h").write_text(fullint.inspect(tmp_path / "m.tflite", "c").snippet)
    body = ""
    for i, _, _ in QUANTIZED:
        body += f'    for (i = 0; i < M_INPUT_{i}_SIZE; ++i) {{ if (scanf("%f", &real) != 1) return 1;\n'
        body += f"        int code = m_quantize_input_{i}(real);\n"
        body += f'        printf("%d %a\\n", code, m_dequantize_output_{i}(code)); }}\n'
    head = '#include <stdio.h>\n#include "m.h"\n#include "m.h"\n'
    program = f"{head}int main(void)\n{{\n    float real; int i;\n{body}    return 0;\n}}\n"
    (tmp_path / "main.c").write_text(program)
    standard = "-std=c99" if language == "c" else "-std=c++11"
    given = "\n".join(float(v).hex() for i, _, _ in QUANTIZED for v in values()[i].reshape(-1))
    out = compiled(tmp_path, GCC or "", standard, *STRICT, "-x", language, "main.c", "-lm", "-o", "program", given=given)
    pairs = [line.split() for line in out.splitlines()]
    codes = np.concatenate([quantize(values()[i], quant, dtype).reshape(-1).astype(int) for i, dtype, quant in QUANTIZED])
    np.testing.assert_array_equal([int(code) for code, _ in pairs], codes)
    reals = np.concatenate([expected()[i].reshape(-1) for i, _, _ in QUANTIZED])
    np.testing.assert_array_equal([float.fromhex(r) for _, r in pairs], reals.astype(float))


MICRO = """
#include <stdint.h>
enum { kTfLiteOk };
union Data { int8_t* int8; uint8_t* uint8; int16_t* i16; int32_t* i32; int64_t* i64; float* f; bool* b; };
struct TfLiteTensor { Data data; };
struct MicroInterpreter { TfLiteTensor* input(int); TfLiteTensor* output(int); int Invoke(); };
"""
"""As much of TensorFlow Lite for Microcontrollers as a snippet uses."""


@pytest.mark.skipif(GXX is None, reason="no g++")
def test_calls_in_the_comment_of_c_compile(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(echo())
    text = fullint.inspect(tmp_path / "m.tflite", "c").snippet
    (tmp_path / "m.h").write_text(text)
    calls = re.findall(r"^//   (.*)$", text, re.MULTILINE)
    assert len(calls) == 4 * len(PORTS) + 1
    for i, member in enumerate("int8 uint8 i16 f i32 i64 b int8".split()):  # a wrong one would compile, too
        assert f" input_{i}->data.{member}[i] = " in text and f"output_{i}->data.{member}[i]" in text
    arrays = "".join(f"double values_of_{kind}_{i}[1200];\n" for kind in ("input", "output") for i in range(len(PORTS)))
    lines = "\n".join(calls)
    program = f'{MICRO}#include "m.h"\n{arrays}void run(MicroInterpreter& interpreter) {{\n{lines}\n}}\n'
    (tmp_path / "main.cpp").write_text(program)
    done = subprocess.run(
        [GXX or "", *STRICT, "-fsyntax-only", "main.cpp"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


INTERPRETER = """
#include <cstddef>
#include <cstdio>
#include <memory>
#include <vector>
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
struct TfLiteTensor { std::size_t bytes; };
namespace tflite {
struct Interpreter {
  std::vector<std::vector<char>> data;
  std::vector<TfLiteTensor> tensors;
  TfLiteStatus AllocateTensors() { return kTfLiteOk; }
  TfLiteStatus Invoke() { return kTfLiteOk; }
  TfLiteTensor* input_tensor(std::size_t i) { return &tensors[i]; }
  const TfLiteTensor* output_tensor(std::size_t i) const { return &tensors[i]; }
  template <class T> T* typed_input_tensor(int i) { return reinterpret_cast<T*>(data[i].data()); }
  template <class T> const T* typed_output_tensor(int i) const { return reinterpret_cast<const T*>(data[i].data()); }
};
struct FlatBufferModel {
  static std::unique_ptr<FlatBufferModel> BuildFromFile(const char* path) {
    return std::unique_ptr<FlatBufferModel>(std::fopen(path, "rb") ? new FlatBufferModel : nullptr);
  }
};
namespace ops { namespace builtin { struct BuiltinOpResolver {}; } }
struct InterpreterBuilder {
  InterpreterBuilder(const FlatBufferModel&, const ops::builtin::BuiltinOpResolver&) {}
  TfLiteStatus operator()(std::unique_ptr<Interpreter>* made) {
    made->reset(new Interpreter);
    for (std::size_t bytes : {SIZES}) { (*made)->data.emplace_back(bytes); (*made)->tensors.push_back({bytes}); }
    return kTfLiteOk;
  }
};
}
"""
"""As much of TensorFlow Lite as a snippet in C++ uses; what is written to input i is read from output i."""


@pytest.mark.skipif(GXX is None, reason="no g++")
def test_cpp_gives_the_same_values(tmp_path: Path) -> None:
    """Compiled against a stand-in for the interpreter: alone, from a file of a nasty name, and called with values."""
    (tmp_path / NASTY_FILE).write_bytes(echo())
    home = tmp_path / "tensorflow" / "lite"
    (home / "kernels").mkdir(parents=True)
    for name in ("interpreter_builder.h", "kernels/register.h", "model_builder.h"):
        (home / name).touch()
    sizes = [np.dtype(dtype).itemsize * int(np.prod(shape)) for dtype, shape, _ in PORTS]
    (home / "interpreter.h").write_text("#pragma once" + INTERPRETER.replace("SIZES", ", ".join(map(str, sizes))))
    (tmp_path / "snippet.cpp").write_text(fullint.inspect(tmp_path / NASTY_FILE, "cpp").snippet)
    command = (GXX or "", "-std=c++11", *STRICT, "-I.")
    zeros = compiled(tmp_path, *command, "snippet.cpp", "-o", "alone")
    assert zeros.split() == ["0"] * sum(v.size for v in values())

    listed = [
        f"{{{', '.join(float(x).hex() + 'f' if v.dtype == np.float32 else str(int(x)) for x in v.reshape(-1))}}}"
        for v in values()
    ]
    prints = "".join(f'for (auto v : found.output_{i}) std::printf("%a\\n", (double)v);\n' for i in range(len(PORTS)))
    calls = f"tflite::Interpreter* i = made.get();\nconst Outputs found = Run(*i, {', '.join(listed)});\n{prints}"
    made = "std::unique_ptr<tflite::Interpreter> made;\n"
    made += "tflite::InterpreterBuilder(tflite::FlatBufferModel(), tflite::ops::builtin::BuiltinOpResolver())(&made);\n"
    (tmp_path / "main.cpp").write_text(
        f'#define main alone\n#include "snippet.cpp"\n#undef main\nint main() {{\n{made}{calls}}}\n'
    )
    out = compiled(
        tmp_path, *command, "-std=c++17", "-Wno-return-type", "main.cpp", "-o", "called"
    )  # hexadecimal floats are C++17
    wanted = np.concatenate([v.reshape(-1).astype(float) for v in expected()])
    np.testing.assert_array_equal([float.fromhex(line) for line in out.splitlines()], wanted)


ANDROID = """
package org.tensorflow.lite
class Interpreter {
    fun runForMultipleInputsOutputs(inputs: Array<Any>, outputs: Map<Int, Any>) {
        for ((i, input) in inputs.withIndex()) (outputs[i] as java.nio.ByteBuffer).put(input as java.nio.ByteBuffer)
    }
}
"""
KINDS = {"float32": "FloatArray", "int32": "IntArray", "int64": "LongArray", "bool": "BooleanArray", "int8": "ByteArray"}
READ = {"float32": "toFloat", "int32": "toInt", "int64": "toLong", "bool": "toBooleanStrict", "int8": "toByte"}


@pytest.mark.skipif(KOTLINC is None, reason="no kotlinc")
def test_kotlin_gives_the_same_values(tmp_path: Path) -> None:
    (tmp_path / NASTY_FILE).write_bytes(echo(names=HOSTILE))
    (tmp_path / "Snippet.kt").write_text(fullint.inspect(tmp_path / NASTY_FILE, "kotlin").snippet)
    (tmp_path / "Interpreter.kt").write_text(ANDROID)
    given = [f"{KINDS[v.dtype.name]}({v.size}) {{ readln().{READ[v.dtype.name]}() }}" for v in values()]
    found = f"val found = runModel(org.tensorflow.lite.Interpreter(), {', '.join(given)})"
    prints = "; ".join(f"for (v in found.output{i}) println(v)" for i in range(len(PORTS)))
    (tmp_path / "Main.kt").write_text(f"fun main() {{ {found}; {prints} }}\n")
    sources = ("Snippet.kt", "Interpreter.kt", "Main.kt")
    command = [KOTLINC or "", *sources, "-include-runtime", "-d", "main.jar"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [str(x).lower() for v in values() for x in v.reshape(-1)]
    ran = subprocess.run(
        ["java", "-cp", "main.jar", "MainKt"], cwd=tmp_path, input="\n".join(lines), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    numbers = [np.float32({"true": "1", "false": "0"}.get(line, line)) for line in ran.stdout.split()]
    np.testing.assert_array_equal(numbers, np.concatenate([v.reshape(-1).astype(np.float32) for v in expected()]))


@pytest.mark.parametrize("language", SNIPPET_LANGUAGES)
def test_names_of_tensors_stay_in_comments(tmp_path: Path, language: str) -> None:
    """The code is that of a model with harmless names, byte for byte, and in ASCII."""
    ports = [("int8", (2,), Quant.of(0.5, -3))] * len(HOSTILE)
    mark = COMMENTS[language]
    texts = []
    for names in (HOSTILE, ["x"] * len(HOSTILE)):
        (tmp_path / "m.tflite").write_bytes(echo(ports, names))
        text = fullint.inspect(tmp_path / "m.tflite", language).snippet
        assert text.isascii() and text.endswith("\n") and not text.endswith("\n\n")
        assert language != "python" or "coding:" not in "".join(text.splitlines()[:2])  # there it would change the encoding
        texts.append([line for line in text.split("\n") if not line.startswith(mark)])
        assert sum(line.startswith(f"{mark} input ") for line in text.split("\n")) == len(HOSTILE)
    assert texts[0] == texts[1]


@pytest.mark.skipif(GCC is None, reason="no gcc")
def test_hostile_names_do_not_disturb_a_strict_compiler(tmp_path: Path) -> None:
    ports = [("int8", (2,), Quant.of(0.5, -3))] * len(HOSTILE)
    (tmp_path / NASTY_FILE).write_bytes(echo(ports, HOSTILE))
    (tmp_path / "main.c").write_text(fullint.inspect(tmp_path / NASTY_FILE, "c").snippet + "int main(void) { return 0; }\n")
    compiled(tmp_path, GCC or "", "-std=c99", *STRICT, "main.c", "-lm", "-o", "program")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("digits_int8", "digits_int8"), ("1-2 3", "model_1_2_3"), ("é", "model"), ("__int", "int"), ("a.b-c", "a_b_c")],
)
def test_identifiers_in_c_come_from_the_file(tmp_path: Path, name: str, prefix: str) -> None:
    (tmp_path / f"{name}.tflite").write_bytes(echo(PORTS[:1]))
    text = fullint.inspect(tmp_path / f"{name}.tflite", "c").snippet
    assert f"static inline int8_t {prefix}_quantize_input_0(float real)\n" in text
    assert f"#define {prefix.upper()}_INPUT_0_ZERO_POINT (3)\n" in text


@pytest.mark.parametrize("language", SNIPPET_LANGUAGES)
def test_the_comment_says_what_codes_stand_for(language: str) -> None:
    text = fullint.inspect(echo(names=["x"] * len(PORTS)), language).snippet
    assert 'input 0 "x": int8 [1, 2, 600], real values -13.1 to 12.4 (scale 0.1, zero point 3)\n' in text
    assert 'output 4 "x": int32 [1, 12], not quantized\n' in text
    assert "model.tflite" in text


@pytest.mark.parametrize("language", SNIPPET_LANGUAGES)
def test_open_dimensions_are_pointed_out(language: str) -> None:
    g = Builder()
    g.output(g.conv(g.input(-1, 8, 8, 3), 4))
    text = fullint.inspect(g.bytes(), language).snippet
    assert "float32 [1, 8, 8, 3] (stored size of [-1, 8, 8, 3]; open dimensions can be resized), not quantized" in text


def test_scales_are_exact() -> None:
    rng = np.random.default_rng(0)
    for scale in np.exp(rng.uniform(np.log(1e-36), np.log(1e30), 400)).astype(np.float32):
        text = fullint.inspect(echo([("int8", (1,), Quant.of(scale))]), "python").snippet
        said = re.search(r"np\.int8, (\S+), 0\)", text)
        assert said is not None
        assert np.float32(float(said[1])) == scale


@pytest.mark.parametrize(
    ("language", "port", "says"),
    [
        ("rust", PORTS[0], r'snippet must be python, cpp, c or kotlin, not "rust"'),
        ("python", ("int8", (2,), Quant.of(np.float32([1, 2]))), 'needs one scale, and input 0 "input" has 2'),
        ("c", ("int8", (2,), Quant.of(0.0)), 'a scale other than 0: input 0 "input"'),
        ("cpp", ("float16", (2,), None), "a snippet in C[+][+] cannot pass values of type float16"),
        ("kotlin", ("uint32", (2,), None), "a snippet in Kotlin cannot pass values of type uint32"),
        *((language, ("string", (2,), None), "cannot pass values of type string") for language in SNIPPET_LANGUAGES),
    ],
)
def test_what_has_no_snippet_is_refused(language: str, port: tuple, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fullint.inspect(echo([port]), language)


@pytest.mark.parametrize("language", SNIPPET_LANGUAGES)
def test_the_command_prints_the_snippet_and_nothing_else(language: str) -> None:
    """Also for lines that a terminal's width or markup might change."""
    found = fullint.inspect(str(MODEL), language)
    for more, wanted in (([], found.snippet), (["--json"], f"{found.to_json()}\n")):
        out = io.StringIO()
        with redirect_stdout(out):
            main(["inspect", str(MODEL), "--snippet", language, *more], standalone_mode=False)
        assert out.getvalue() == wanted
    assert json.loads(out.getvalue())["snippet"] == found.snippet == f"{found}\n"
    assert fullint.inspect(MODEL).snippet == ""


def test_an_unknown_language_names_the_others() -> None:
    command = [sys.executable, "-m", "fullint", "inspect", str(MODEL), "--snippet", "rust"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(f"'{language}'" in done.stderr for language in SNIPPET_LANGUAGES)
    assert tuple(SNIPPETS) == SNIPPET_LANGUAGES == tuple(COMMENTS)
