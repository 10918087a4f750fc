"""What is to be converted: Keras models, concrete functions and signatures of SavedModels as functions with named ends.

Keras model, SavedModel, function  ->  Endpoint: inputs in order -> outputs by name
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from fullint.frontends.workers.keras_files import saved_model
    from fullint.frontends.workers.worker_protocol import Refused
else:  # in an environment without fullint
    from keras_files import saved_model
    from worker_protocol import Refused

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


def of_saved_model(folder: str | Path, keys: Sequence[str] | None = None, tags: Any = None) -> list[Endpoint]:
    """Signatures of a SavedModel: the requested ones, else the serving default, else all.

    Raises:
        Refused: a signature does not exist.
    """
    loaded = saved_model(str(folder), tags)
    there = dict(loaded.signatures)
    keys = keys or [k for k in (SERVING, "serve") if k in there][:1] or list(there)
    missing = [k for k in keys if k not in there]
    if missing or not keys:
        raise Refused(f"the SavedModel has no signature {', '.join(missing) or 'at all'}; it has: {', '.join(there) or 'none'}")
    found = [_as_tensorflow_orders(of_function(there[k], k), list(there[k].structured_outputs)) for k in keys]
    return [replace(e, keeps=loaded) for e in found]


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
    with tempfile.TemporaryDirectory(prefix="fullint-") as folder, quiet():
        tf.saved_model.save(tf.Module(), folder, signatures={endpoint.key: concrete})
        data = tensorflows_converter().from_saved_model(folder, signature_keys=[endpoint.key]).convert()
    taken, given = _sizes(data)
    found = [names[size - 1] for size in taken]
    order = [sorted(outputs)[size - 1] for size in given]
    by_name = {s.name: s for s in endpoint.specs}

    def call(*inputs: Any) -> Mapping[str, Any]:
        values = dict(zip(found, inputs, strict=True))
        made = inner(*(values[n] for n in names))
        return {n: made[n] for n in order}

    return replace(endpoint, specs=[by_name[n] for n in found], call=call)


def tensorflows_converter() -> Any:
    """What tf.lite.TFLiteConverter is before a script puts fullint's in its place."""
    from tensorflow.lite.python.lite import TFLiteConverterV2

    return TFLiteConverterV2


def _sizes(data: bytes) -> tuple[list[int], list[int]]:
    """Sizes of the graph's inputs and outputs, in order, read from the file without an interpreter."""
    from tensorflow.lite.python import schema_py_generated as schema

    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0)).subgraphs[0]
    taken, given = ([int(graph.tensors[i].shape[0]) for i in ends] for ends in (graph.inputs, graph.outputs))
    return taken, given


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress TensorFlow's messages about the temporary folder it writes to."""
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


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
