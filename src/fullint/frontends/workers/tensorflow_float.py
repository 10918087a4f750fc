"""Keras models, SavedModels and concrete functions as float `.tflite` files, by TensorFlow's own converter.

    model -> function of fixed batch, its outputs named -> SavedModel -> TFLiteConverter, nothing quantized

The batch is fixed before the conversion: with an open one, recurrent layers need operators that only TensorFlow has,
and every RESHAPE computes its shape from the input. Needs nothing of fullint: it also runs as a script.

    python tensorflow_float.py REQUEST.json
"""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from fullint.frontends.workers.worker_protocol import Refused, drawn, shape_of
else:  # a script, in an environment without fullint
    from worker_protocol import Refused, drawn, shape_of

SERVING = "serving_default"


@dataclass
class Endpoint:
    """A function to convert.

    Attributes:
        key: of its signature.
        call: takes the inputs in order, returns the outputs by name.
        specs: TensorSpec of each input, with its name.
        keeps: what holds its variables.
    """

    key: str
    call: Callable[..., Mapping[str, Any]]
    specs: list[Any]
    keeps: Any


@dataclass
class Floated:
    """A float model and what is known of it.

    Attributes:
        data: the `.tflite`.
        inputs, outputs: (the user's name, the name in the signature), in the user's order.
        sample, expected: one random sample and the framework's own outputs.
        versions: of what converted it.
    """

    data: bytes
    inputs: list[tuple[str, str]]
    outputs: list[tuple[str, str]]
    sample: list[Any]
    expected: list[Any]
    versions: dict[str, str]


def of_keras(model: Any) -> Endpoint:
    """The forward pass of a Keras model (Keras 2 or 3), inference mode.

    Raises:
        Refused: nobody knows its inputs yet.
    """
    import tensorflow as tf

    if not callable(model) or not hasattr(model, "variables"):
        raise Refused(f"that is no Keras model, but {type(model).__name__}")
    tree = _tree(model)
    symbols = list(getattr(model, "inputs", None) or [])
    structure = getattr(model, "_inputs_struct", None)
    if not symbols:
        structure = _called_with(model)
        symbols = tree.flatten(structure)
    elif structure is None:
        structure = symbols if len(symbols) > 1 else symbols[0]
    names = _distinct(_names(structure, symbols))
    specs = [tf.TensorSpec(s.shape, s.dtype, name=n) for s, n in zip(symbols, names, strict=True)]
    known = list(getattr(model, "output_names", None) or [])

    def call(*inputs: Any) -> dict[str, Any]:
        return _named(model(tree.pack_sequence_as(structure, list(inputs)), training=False), known, tree)

    layers: Any = getattr(model, "_flatten_layers", list)()
    states = [v for layer in layers for v in tree.flatten(getattr(layer, "states", None) or [])]
    return Endpoint(SERVING, call, specs, [_variable(v) for v in (*model.variables, *states) if v is not None])


def _tree(model: Any) -> Any:
    """How Keras orders nested inputs and outputs: Keras 3 keeps an OrderedDict's order, TensorFlow sorts it."""
    import tensorflow as tf

    if type(model).__module__.split(".")[0] == "tf_keras":
        return tf.nest
    try:
        from keras import tree
    except ImportError:
        return tf.nest
    return tree


def _names(structure: Any, symbols: Sequence[Any]) -> list[str]:
    """What the inputs are called: by the model, else by the keys they are given with."""
    keys = list(structure) if isinstance(structure, Mapping) and len(structure) == len(symbols) else []
    own = [str(getattr(s, "name", None) or "").split(":")[0] for s in symbols]
    return [n or (str(sorted(keys)[i]) if keys else f"input_{i}") for i, n in enumerate(own)]


def _variable(v: Any) -> Any:
    """TensorFlow's own variable: Keras 3 wraps it, Keras 2 does not."""
    value = getattr(v, "value", None)
    return v if value is None or callable(value) else value


def _called_with(model: Any) -> Any:
    """The structure of a subclassed model's input, which Keras knows once it has been called.

    Raises:
        Refused: it has not been, or takes several arguments.
    """
    found: Any = None
    with contextlib.suppress(Exception):
        from keras.src.export.export_utils import get_input_signature

        found = get_input_signature(model)
    if found is None:
        with contextlib.suppress(Exception):
            found = model._get_save_spec(dynamic_batch=True)
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    flat = _tree(model).flatten(found) if found is not None else []
    if not flat or not all(hasattr(s, "shape") for s in flat):
        raise Refused("the model's inputs are not known yet: call it once on a sample, or build it with keras.Input")
    return found


def of_function(function: Any, key: str = SERVING) -> Endpoint:
    """A concrete function, or one of a SavedModel's signatures."""
    import tensorflow as tf

    args, kwargs = function.structured_input_signature
    keywords = list(kwargs)  # in the order of the function that was saved, as TensorFlow's converter has them
    flat = [*tf.nest.flatten(list(args)), *(kwargs[k] for k in keywords)]
    flat = [s for s in flat if isinstance(s, tf.TensorSpec)]
    positional = len(flat) - len(keywords)
    names = _distinct([*(s.name or f"input_{i}" for i, s in enumerate(flat[:positional])), *keywords])
    specs = [tf.TensorSpec(s.shape, s.dtype, name=n) for s, n in zip(flat, names, strict=True)]

    def call(*inputs: Any) -> dict[str, Any]:
        given = dict(zip(keywords, inputs[positional:], strict=True))
        return _named(function(*inputs[:positional], **given), [])

    return Endpoint(key, call, specs, list(function.variables))


def of_saved_model(folder: str | Path, keys: Sequence[str] | None = None, tags: Any = None) -> Endpoint:
    """A signature of a SavedModel: the one that is asked for, or that serves.

    Raises:
        Refused: it has no such signature, or several and none asked for.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder), tags=tags)
    there = dict(loaded.signatures)
    keys = keys or [k for k in (SERVING, "serve") if k in there][:1] or list(there)
    missing = [k for k in keys if k not in there]
    if missing or not keys:
        raise Refused(f"the SavedModel has no signature {', '.join(missing) or 'at all'}; it has: {', '.join(there) or 'none'}")
    if len(keys) > 1:
        raise Refused(f"the SavedModel has several signatures ({', '.join(keys)}): choose one with signature_keys")
    endpoint = of_function(there[keys[0]], keys[0])
    endpoint.keeps = loaded
    endpoint.specs, endpoint.call = _as_tensorflow_orders(endpoint)
    return endpoint


def _as_tensorflow_orders(endpoint: Endpoint) -> tuple[list[Any], Callable[..., Mapping[str, Any]]]:
    """Inputs in the order in which TensorFlow's converter has them, as samples that are lists come.

    A SavedModel keeps them as a map; the converter's order follows from the names alone, but only it knows how. So it
    is asked with a model that has the same names and nothing else.
    """
    import tensorflow as tf

    names = [s.name for s in endpoint.specs]
    if len(names) < 2:
        return endpoint.specs, endpoint.call
    total = tf.function(lambda **inputs: {"sum": tf.add_n([tf.reduce_sum(v) for v in inputs.values()])})
    concrete = total.get_concrete_function(**{n: tf.TensorSpec([1, 2], name=n) for n in names})
    with tempfile.TemporaryDirectory(prefix="fullint-") as folder, _quiet():
        tf.saved_model.save(tf.Module(), folder, signatures={SERVING: concrete})
        data = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SERVING]).convert()
    found = sorted(names, key=lambda n: _place(data, n))
    given = {s.name: s for s in endpoint.specs}

    def call(*inputs: Any) -> Mapping[str, Any]:
        by_name = dict(zip(found, inputs, strict=True))
        return inner(*(by_name[n] for n in names))

    inner = endpoint.call
    return [given[n] for n in found], call


def _place(data: bytes, name: str) -> int:
    """Where an input is in a graph, by the interpreter-free way: its tensor's index."""
    from tensorflow.lite.python import schema_py_generated as schema

    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0)).subgraphs[0]
    names = [graph.tensors[i].name.decode().removeprefix("serving_default_").rpartition(":")[0] for i in graph.inputs]
    return names.index(name)


def convert(endpoint: Endpoint, batch: int = 1, settings: Mapping[str, Any] | None = None) -> Floated:
    """The float `.tflite` of a function; operators that only TensorFlow has become Flex or custom ones where builtins do not do.

    Args:
        endpoint: what to convert.
        batch: size of an open first dimension.
        settings: attributes of TensorFlow's converter (allow_custom_ops, exclude_conversion_metadata).
    """
    import numpy as np
    import tensorflow as tf

    specs = [_fixed(s, batch) for s in endpoint.specs]
    function = tf.function(endpoint.call, autograph=False).get_concrete_function(*specs)
    outputs = list(function.structured_outputs)
    sample = drawn([(s.shape, s.dtype.as_numpy_dtype) for s in specs])
    before = [(v, v.numpy()) for v in function.variables]
    values = function(*map(tf.constant, sample))
    expected = [np.asarray(values[n]) for n in outputs]
    for v, value in before:  # a run may have changed the user's own
        v.assign(value)
    holder = tf.Module()
    holder.keeps = endpoint.keeps
    with tempfile.TemporaryDirectory(prefix="fullint-") as folder, _quiet():
        tf.saved_model.save(holder, folder, signatures={endpoint.key: function})
        data = _converted(folder, endpoint.key, settings or {})
    names = [s.name for s in specs]
    return Floated(data, [(n, n) for n in names], [(n, n) for n in outputs], sample, expected, {"tensorflow": tf.__version__})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without TensorFlow's remarks on where it writes: the folder is gone a moment later."""
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _converted(folder: str, key: str, settings: Mapping[str, Any]) -> bytes:
    import tensorflow as tf

    builtins, flex = [tf.lite.OpsSet.TFLITE_BUILTINS], [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    said: list[Exception] = []
    for supported, custom in ((builtins, False), (flex, False), (flex, True)):
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[key])
        converter.target_spec.supported_ops = supported
        for name, value in {**settings, **({"allow_custom_ops": True} if custom else {})}.items():
            setattr(converter, name, value)
        try:
            data: bytes = converter.convert()
            return data
        except Exception as e:  # whatever TensorFlow raises, the next set may do
            said.append(e)
    raise said[0]


def _fixed(spec: Any, batch: int) -> Any:
    import tensorflow as tf

    if spec.shape.rank is None:
        raise Refused(f'input "{spec.name}" has no known number of dimensions')
    shape = [batch if i == 0 and n is None else n for i, n in enumerate(spec.shape)]
    if None in shape:
        raise Refused(f'input "{spec.name}" has open dimensions {tuple(spec.shape)}: give its shape (--shape, shape=)')
    return tf.TensorSpec(shape, spec.dtype, name=spec.name)


def _named(outputs: Any, names: Sequence[str], tree: Any = None) -> dict[str, Any]:
    """Outputs by name, in order."""
    import tensorflow as tf

    if isinstance(outputs, Mapping) and not names:
        return {str(k): v for k, v in outputs.items()}
    flat = (tree or tf.nest).flatten(outputs)
    if len(names) != len(flat):
        names = [f"output_{i}" for i in range(len(flat))]
    return dict(zip(_distinct(list(names)), flat, strict=True))


def _distinct(names: list[str]) -> list[str]:
    return [n if n not in names[:i] else f"{n}_{i}" for i, n in enumerate(names)]


def _load(asked: Mapping[str, Any]) -> Endpoint:
    path = asked["model"]
    if asked["function"]:
        from worker_protocol import called

        made = called(path, asked["function"])
        return of_function(made) if hasattr(made, "structured_input_signature") else of_keras(made)
    if Path(path).is_dir():
        return of_saved_model(path)
    return of_keras(_keras_file(path))


def _keras_file(path: str) -> Any:
    import tensorflow as tf

    with open(path, "rb") as f:
        start = f.read(8)
    if not (zipfile.is_zipfile(path) or start == b"\x89HDF\r\n\x1a\n"):
        raise Refused("it is no Keras file: neither a zip archive nor HDF5, or cut off")

    try:
        return tf.keras.models.load_model(path, compile=False)
    except Exception as first:
        try:
            import tf_keras  # Keras 2, for files that it wrote
        except ImportError:
            raise first from None
        return tf_keras.models.load_model(path, compile=False)


def reshape(endpoint: Endpoint, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give open inputs the shapes that were asked for, by name; "" is the only input."""
    import tensorflow as tf

    for i, s in enumerate(endpoint.specs):
        shape = shape_of(shapes, s.name, len(endpoint.specs) == 1)
        if shape is not None:
            endpoint.specs[i] = tf.TensorSpec(shape, s.dtype, name=s.name)


def main() -> None:
    """Do what REQUEST.json asks for."""
    import worker_protocol

    asked = worker_protocol.request()
    folder = Path(asked["folder"])
    endpoint = _load(asked)
    reshape(endpoint, asked["shapes"])
    made = convert(endpoint, asked["batch"])
    (folder / "0.tflite").write_bytes(made.data)
    worker_protocol.write(folder, (made.inputs, made.outputs), (made.sample, made.expected), made.versions)


if __name__ == "__main__":
    from worker_protocol import answered

    answered(main)
