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
    from fullint.frontends.workers.keras_files import keras_file, saved_model
    from fullint.frontends.workers.tensor_lists import has_tensor_lists, with_closed_lists
    from fullint.frontends.workers.worker_protocol import Refused, drawn, shape_of
else:  # a script, in an environment without fullint
    from keras_files import keras_file, saved_model
    from tensor_lists import has_tensor_lists, with_closed_lists
    from worker_protocol import Refused, drawn, shape_of

SERVING = "serving_default"


@dataclass
class Endpoint:
    """A function to convert.

    Attributes:
        key: key of its signature.
        call: the function: inputs in order -> outputs by name.
        specs: TensorSpec of each input, with its name.
        keeps: the object that owns its variables.
    """

    key: str
    call: Callable[..., Mapping[str, Any]]
    specs: list[Any]
    keeps: Any


@dataclass
class Floated:
    """A float model and the data to check it.

    Attributes:
        data: the bytes of the `.tflite`.
        inputs, outputs: (the original name, the name in the signature), in the original order.
        sample, expected: one sample and the framework's outputs for it.
        versions: package -> version.
    """

    data: bytes
    inputs: list[tuple[str, str]]
    outputs: list[tuple[str, str]]
    sample: list[Any]
    expected: list[Any]
    versions: dict[str, str]


def of_keras(model: Any) -> Endpoint:
    """The forward pass of a Keras model (Keras 2 or 3) in inference mode.

    Raises:
        Refused: it is not a Keras model, or its inputs are not known yet.
    """
    import tensorflow as tf

    if not callable(model) or not hasattr(model, "variables"):
        raise Refused(f"expected a Keras model, not {type(model).__name__}")
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
    known = list(getattr(model, "output_names", None) or getattr(getattr(model, "_functional", None), "output_names", None) or [])

    def call(*inputs: Any) -> dict[str, Any]:
        return _named(model(tree.pack_sequence_as(structure, list(inputs)), training=False), known, tree)

    layers: Any = getattr(model, "_flatten_layers", list)()
    states = [v for layer in layers for v in tree.flatten(getattr(layer, "states", None) or [])]
    return Endpoint(SERVING, call, specs, [_variable(v) for v in (*model.variables, *states) if v is not None])


def _tree(model: Any) -> Any:
    """The module that flattens nested inputs and outputs: Keras 3 keeps an OrderedDict's order, TensorFlow sorts it."""
    import tensorflow as tf

    if type(model).__module__.split(".")[0] == "tf_keras":
        return tf.nest
    try:
        from keras import tree
    except ImportError:
        return tf.nest
    return tree


def _names(structure: Any, symbols: Sequence[Any]) -> list[str]:
    """Names of the inputs, from the model, else the keys of the input structure."""
    keys = list(structure) if isinstance(structure, Mapping) and len(structure) == len(symbols) else []
    own = [str(getattr(s, "name", None) or "").split(":")[0] for s in symbols]
    return [n or (str(sorted(keys)[i]) if keys else f"input_{i}") for i, n in enumerate(own)]


def _variable(v: Any) -> Any:
    """The TensorFlow variable, which Keras 3 wraps and Keras 2 does not."""
    value = getattr(v, "value", None)
    return v if value is None or callable(value) else value


def _called_with(model: Any) -> Any:
    """The input structure of a subclassed model, which Keras knows once the model has been called.

    Raises:
        Refused: the model has not been called, or takes several arguments.
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
    """The endpoint of a concrete function, or of one of a SavedModel's signatures."""
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
    """A signature of a SavedModel: the requested one, or the serving default.

    Raises:
        Refused: the signature does not exist, or there are several and none was requested.
    """
    loaded = saved_model(str(folder), tags)
    there = dict(loaded.signatures)
    keys = keys or [k for k in (SERVING, "serve") if k in there][:1] or list(there)
    missing = [k for k in keys if k not in there]
    if missing or not keys:
        raise Refused(f"the SavedModel has no signature {', '.join(missing) or 'at all'}; it has: {', '.join(there) or 'none'}")
    if len(keys) > 1:
        raise Refused(f"the SavedModel has several signatures ({', '.join(keys)}): choose one with signature_keys")
    endpoint = of_function(there[keys[0]], keys[0])
    endpoint.keeps = loaded
    return _as_tensorflow_orders(endpoint, list(there[keys[0]].structured_outputs))


def _as_tensorflow_orders(endpoint: Endpoint, outputs: Sequence[str]) -> Endpoint:
    """The endpoint with inputs and outputs in the order of TensorFlow's converter, which is that of samples given as lists.

    A SavedModel stores both as maps, and TensorFlow reads the outputs in another order each time. The converter's order depends
    only on the names, in an undocumented way, so it is found by converting a minimal model with the same names, in which each
    input and output has a size of its own.
    """
    import tensorflow as tf

    names, inner = [s.name for s in endpoint.specs], endpoint.call
    if len(names) < 2 and len(outputs) < 2:
        return endpoint

    def sizes(inputs: Mapping[str, Any]) -> dict[str, Any]:
        total = tf.add_n([tf.reduce_sum(v) for v in inputs.values()])
        return {n: tf.fill([i + 1], total) for i, n in enumerate(sorted(outputs))}

    specs = {n: tf.TensorSpec([i + 1], name=n) for i, n in enumerate(names)}
    concrete = tf.function(lambda **inputs: sizes(inputs)).get_concrete_function(**specs)
    with tempfile.TemporaryDirectory(prefix="fullint-") as folder, _quiet():
        tf.saved_model.save(tf.Module(), folder, signatures={endpoint.key: concrete})
        data = _tensorflows_converter().from_saved_model(folder, signature_keys=[endpoint.key]).convert()
    taken, given = _sizes(data)
    found = [names[size - 1] for size in taken]
    order = [sorted(outputs)[size - 1] for size in given]
    by_name = {s.name: s for s in endpoint.specs}

    def call(*inputs: Any) -> Mapping[str, Any]:
        values = dict(zip(found, inputs, strict=True))
        made = inner(*(values[n] for n in names))
        return {n: made[n] for n in order}

    return replace(endpoint, specs=[by_name[n] for n in found], call=call)


def _tensorflows_converter() -> Any:
    """What tf.lite.TFLiteConverter is before a script puts fullint's in its place."""
    from tensorflow.lite.python.lite import TFLiteConverterV2

    return TFLiteConverterV2


def _sizes(data: bytes) -> tuple[list[int], list[int]]:
    """Sizes of the graph's inputs and outputs, in order, read from the file without an interpreter."""
    from tensorflow.lite.python import schema_py_generated as schema

    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0)).subgraphs[0]
    taken, given = ([int(graph.tensors[i].shape[0]) for i in ends] for ends in (graph.inputs, graph.outputs))
    return taken, given


def convert(
    endpoint: Endpoint, batch: int = 1, settings: Mapping[str, Any] | None = None, given: Mapping[str, Any] | None = None
) -> Floated:
    """Convert a function to a float `.tflite`; operators without a builtin become Flex or custom operators.

    Args:
        endpoint: the function to convert.
        batch: size for a dynamic first dimension.
        settings: attributes of TensorFlow's converter, such as allow_custom_ops.
        given: the user's first sample, if any, by input name or position.
    """
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
    data = _converted(endpoint, function, specs, settings or {})
    names = [s.name for s in specs]
    return Floated(data, [(n, n) for n in names], [(n, n) for n in outputs], sample, expected, {"tensorflow": tf.__version__})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress TensorFlow's messages about the temporary folder it writes to."""
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def _converted(endpoint: Endpoint, function: Any, specs: Sequence[Any], settings: Mapping[str, Any]) -> bytes:
    """What TensorFlow's converter makes of a function: of builtins alone where it can, else with operators of its own."""
    import tensorflow as tf

    builtins, flex = [tf.lite.OpsSet.TFLITE_BUILTINS], [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    said: list[Exception] = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_saved(endpoint, function))

        def closed() -> str:
            batch = int(specs[0].shape[0] or 1) if specs and specs[0].shape.rank else 1
            other = tf.function(with_closed_lists(function, batch), autograph=False).get_concrete_function(*specs)
            return stack.enter_context(_saved(endpoint, other))

        ways: list[tuple[Callable[[], str], list[Any], bool]] = [(lambda: folder, builtins, False)]
        ways += [(closed, builtins, False)] if has_tensor_lists(function) else []
        ways += [(lambda: folder, flex, False), (lambda: folder, flex, True)]
        for where, supported, custom in ways:
            try:
                converter = _tensorflows_converter().from_saved_model(where(), signature_keys=[endpoint.key])
                converter.target_spec.supported_ops = supported
                for name, value in {**settings, **({"allow_custom_ops": True} if custom else {})}.items():
                    setattr(converter, name, value)
                data: bytes = converter.convert()
                return data
            except Exception as e:  # of any type; the next way may work
                said.append(e)
    raise said[0]


@contextlib.contextmanager
def _saved(endpoint: Endpoint, function: Any) -> Iterator[str]:
    """Folder of a SavedModel with a function under the endpoint's key, for as long as the context lasts."""
    import tensorflow as tf

    holder = tf.Module()
    holder.keeps = [endpoint.keeps, function]
    with tempfile.TemporaryDirectory(prefix="fullint-") as folder, _quiet():
        tf.saved_model.save(holder, folder, signatures={endpoint.key: function})
        yield folder


def _fixed(spec: Any, batch: int) -> Any:
    import tensorflow as tf

    if spec.shape.rank is None:
        raise Refused(f'input "{spec.name}" has an unknown number of dimensions')
    shape = [batch if i == 0 and n is None else n for i, n in enumerate(spec.shape)]
    if None in shape:
        raise Refused(f'input "{spec.name}" has dynamic dimensions {tuple(spec.shape)}: give its shape (--shape, shape=)')
    return tf.TensorSpec(shape, spec.dtype, name=spec.name)


def _named(outputs: Any, names: Sequence[str], tree: Any = None) -> dict[str, Any]:
    """Output name -> value, in order; outputs without names get the keys of a dict, or "output_0" and so on."""
    import tensorflow as tf

    if isinstance(outputs, Mapping) and not names:
        return {str(k): v for k, v in outputs.items()}
    tree = tree or tf.nest
    flat = tree.flatten(outputs)
    if isinstance(outputs, Mapping) and len(outputs) == len(flat) != len(names):
        names = [str(k) for k in tree.flatten({k: k for k in outputs})]
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
    return of_keras(keras_file(path))


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
    made = convert(endpoint, asked["batch"], given=worker_protocol.given(folder))
    (folder / "0.tflite").write_bytes(made.data)
    worker_protocol.write(folder, (made.inputs, made.outputs), (made.sample, made.expected), made.versions)


if __name__ == "__main__":
    from worker_protocol import answered

    answered(main)
