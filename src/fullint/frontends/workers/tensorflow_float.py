"""Convert Keras models, SavedModels and concrete functions to float `.tflite` with TensorFlow's converter.

    model -> function of fixed batch, with named outputs -> SavedModel -> TFLiteConverter, without quantization

The batch is fixed before the conversion: with a dynamic batch, recurrent layers need operators that only TensorFlow has, and
every RESHAPE computes its shape from the input. This module does not need fullint: it also runs as a script.

    python tensorflow_float.py REQUEST.json
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from fullint.frontends.workers.keras_files import keras_file
    from fullint.frontends.workers.tensor_lists import has_tensor_lists, with_closed_lists
    from fullint.frontends.workers.tensorflow_endpoints import (
        SERVING,
        Endpoint,
        of_function,
        of_keras,
        of_saved_model,
        quiet,
        tensorflows_converter,
    )
    from fullint.frontends.workers.worker_protocol import Refused, drawn, shape_of
else:  # a script, in an environment without fullint
    from keras_files import keras_file
    from tensor_lists import has_tensor_lists, with_closed_lists
    from tensorflow_endpoints import SERVING, Endpoint, of_function, of_keras, of_saved_model, quiet, tensorflows_converter
    from worker_protocol import Refused, drawn, shape_of


@dataclass
class SignatureCheck:
    """What a float model's signature is checked by.

    Attributes:
        inputs, outputs: (the original name, the name in the signature), in the original order.
        sample, expected: one sample and the framework's outputs for it.
    """

    inputs: list[tuple[str, str]]
    outputs: list[tuple[str, str]]
    sample: list[Any]
    expected: list[Any]


@dataclass
class Floated:
    """A float model and the data to check it.

    Attributes:
        data: the bytes of the `.tflite`.
        checks: of each signature, by its key.
        versions: package -> version.
    """

    data: bytes
    checks: dict[str, SignatureCheck]
    versions: dict[str, str]


@dataclass(frozen=True)
class _Traced:
    """A function of fixed sizes, and the check of what is made of it."""

    endpoint: Endpoint
    function: Any
    specs: list[Any]
    check: SignatureCheck


def convert(
    endpoints: Sequence[Endpoint],
    batch: int = 1,
    settings: Mapping[str, Any] | None = None,
    given: Sequence[Mapping[str, Any]] = (),
) -> Floated:
    """Convert functions to a float `.tflite`, each to a signature; operators without a builtin become Flex or custom operators.

    Args:
        endpoints: the functions to convert.
        batch: size for a dynamic first dimension.
        settings: attributes of TensorFlow's converter, such as allow_custom_ops.
        given: the user's first sample for each, by input name or position; empty where there is none.
    """
    import tensorflow as tf

    firsts = [*given, *({} for _ in endpoints[len(given) :])]
    traced = [_traced(e, batch, first) for e, first in zip(endpoints, firsts, strict=True)]
    data = _converted(traced, settings or {})
    return Floated(data, {t.endpoint.key: t.check for t in traced}, {"tensorflow": tf.__version__})


def _traced(endpoint: Endpoint, batch: int, given: Mapping[str, Any]) -> _Traced:
    """A function of fixed sizes, run on one sample."""
    import numpy as np
    import tensorflow as tf

    specs = [_fixed(s, batch) for s in endpoint.specs]
    function = tf.function(endpoint.call, autograph=False).get_concrete_function(*specs)
    outputs = list(function.structured_outputs)
    sample = drawn([(s.shape, s.dtype.as_numpy_dtype) for s in specs], [s.name for s in specs], given)
    before = [(v, v.numpy()) for v in function.variables]
    values = function(*map(tf.constant, sample))
    expected = [np.asarray(values[n]) for n in outputs]
    for v, value in before:  # the run may have changed the user's variables
        v.assign(value)
    names = [s.name for s in specs]
    check = SignatureCheck([(n, n) for n in names], [(n, n) for n in outputs], sample, expected)
    return _Traced(endpoint, function, specs, check)


def _converted(traced: Sequence[_Traced], settings: Mapping[str, Any]) -> bytes:
    """What TensorFlow's converter makes of functions: of builtins alone where it can, else with operators of its own."""
    import tensorflow as tf

    builtins, flex = [tf.lite.OpsSet.TFLITE_BUILTINS], [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    said: list[Exception] = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_saved(traced))
        keys = [t.endpoint.key for t in traced]
        ways: list[tuple[Callable[[], str], list[Any], bool]] = [(lambda: folder, builtins, False)]
        if any(has_tensor_lists(t.function) for t in traced):
            ways.append((lambda: stack.enter_context(_saved([_closed(t) for t in traced])), builtins, False))
        ways += [(lambda: folder, flex, False), (lambda: folder, flex, True)]
        for where, supported, custom in ways:
            try:
                converter = tensorflows_converter().from_saved_model(where(), signature_keys=keys)
                converter.target_spec.supported_ops = supported
                for name, value in {**settings, **({"allow_custom_ops": True} if custom else {})}.items():
                    setattr(converter, name, value)
                data: bytes = converter.convert()
                return data
            except Exception as e:  # of any type; the next way may work
                said.append(e)
    raise said[0]


def _closed(traced: _Traced) -> _Traced:
    """The same function with lists of tensors whose sizes are known."""
    import tensorflow as tf

    if not has_tensor_lists(traced.function):
        return traced
    specs = traced.specs
    batch = int(specs[0].shape[0] or 1) if specs and specs[0].shape.rank else 1
    other = tf.function(with_closed_lists(traced.function, batch), autograph=False).get_concrete_function(*specs)
    return replace(traced, function=other)


@contextlib.contextmanager
def _saved(traced: Sequence[_Traced]) -> Iterator[str]:
    """Folder of a SavedModel with functions under their keys, for as long as the context lasts."""
    import tensorflow as tf

    holder = tf.Module()
    holder.keeps = [[t.endpoint.keeps, t.function] for t in traced]
    with tempfile.TemporaryDirectory(prefix="fullint-") as folder, quiet():
        tf.saved_model.save(holder, folder, signatures={t.endpoint.key: t.function for t in traced})
        yield folder


def _fixed(spec: Any, batch: int) -> Any:
    import tensorflow as tf

    if spec.shape.rank is None:
        raise Refused(f'input "{spec.name}" has an unknown number of dimensions')
    shape = [batch if i == 0 and n is None else n for i, n in enumerate(spec.shape)]
    if None in shape:
        raise Refused(f'input "{spec.name}" has dynamic dimensions {tuple(spec.shape)}: give its shape (--shape, shape=)')
    return tf.TensorSpec(shape, spec.dtype, name=spec.name)


def _load(asked: Mapping[str, Any]) -> Endpoint:
    path = asked["model"]
    if asked["function"]:
        from worker_protocol import called

        made = called(path, asked["function"])
        return of_function(made) if hasattr(made, "structured_input_signature") else of_keras(made)
    if Path(path).is_dir():
        return _only(of_saved_model(path))
    return of_keras(keras_file(path))


def _only(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The one signature of a SavedModel that the command converts.

    Raises:
        Refused: there are several, none of which is the default.
    """
    if len(endpoints) > 1:
        keys = ", ".join(e.key for e in endpoints)
        raise Refused(
            f"the SavedModel has several signatures ({keys}) and no {SERVING}: convert it with the drop-in converter, "
            "from_saved_model(..., signature_keys=[...])"
        )
    return endpoints[0]


def reshape(endpoint: Endpoint, shapes: Mapping[str, Sequence[int]]) -> None:
    """Set inputs to the requested shapes, by name; "" stands for the only input."""
    import tensorflow as tf

    for i, s in enumerate(endpoint.specs):
        shape = shape_of(shapes, s.name, len(endpoint.specs) == 1)
        if shape is not None:
            endpoint.specs[i] = tf.TensorSpec(shape, s.dtype, name=s.name)


def main() -> None:
    """Convert the model that REQUEST.json names."""
    import worker_protocol

    asked = worker_protocol.request()
    folder = Path(asked["folder"])
    endpoint = _load(asked)
    reshape(endpoint, asked["shapes"])
    made = convert([endpoint], asked["batch"], given=[worker_protocol.given(folder)])
    (folder / "0.tflite").write_bytes(made.data)
    check = made.checks[endpoint.key]
    worker_protocol.write(folder, (check.inputs, check.outputs), (check.sample, check.expected), made.versions)


if __name__ == "__main__":
    from worker_protocol import answered

    answered(main)
