"""The drop-in converter.

    Keras model, SavedModel, functions --TensorFlow--> float .tflite --fullint--> all-integer .tflite

    from fullint.compat import TFLiteConverter
    converter = TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    tflite_model = converter.convert()

TensorFlow runs in the user's process, where it is loaded anyway. LiteRT's interpreter, which can crash when loaded together
with TensorFlow, runs in child processes only, as everywhere in fullint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fullint.calibration.samples.first import FirstSample, first_sample
from fullint.calibration.signatures import key_of
from fullint.compat.attribute_types import ConverterAttributes
from fullint.compat.attributes import ATTRIBUTES, INT16_OPS, OWN, TargetSpec, check, name_of, names_of, no_attribute
from fullint.errors import ConversionError, ModelFormatError, RuntimeFailure, SamplesError, UsageError
from fullint.frontends.conversion import other
from fullint.frontends.formats import FRAMEWORKS
from fullint.frontends.match_interface import SAME, Original, match_signatures
from fullint.frontends.report import Conversion
from fullint.frontends.workers.worker_protocol import sentence
from fullint.model.tflite import read_model
from fullint.options import ModelOptions, QuantizeOptions
from fullint.passes.qat_params import rounds_values
from fullint.quantization.pipeline import Result, quantize

FloatModel = tuple[str | Path | bytes, Conversion | None]
ModelSource = Callable[["TFLiteConverter"], FloatModel]
_RESULTS = ("report", "conversion", "float_model")


class TFLiteConverter(ConverterAttributes):
    """A replacement for tf.lite.TFLiteConverter that returns an all-integer model, or raises an error that says why not.

    It has TensorFlow's attributes (see `fullint.compat`); values that are not supported raise UsageError. `num_samples`,
    `seed`, `drop_outliers`, `strict_samples`, `threads`, `effort`, `certify`, `min_sqnr`, `keep_float`, `int16`, `split_outputs`,
    `ranges`, `mixed`, `recipe`, `allow_lost`, `target`, `shape` and `batch` are fullint's own. After `convert()`, `report` is the
    report of `fullint.quantize`, `float_model` the float `.tflite`, and `conversion` says how that was made.
    """

    _source: ModelSource
    _set: dict[str, Any]

    def __init__(self, source: ModelSource) -> None:
        object.__setattr__(self, "_source", source)
        own = {f.name: f.default for f in fields(QuantizeOptions) if f.name in OWN}
        defaults = {n: copy(row.default) for n, row in ATTRIBUTES.items()}
        object.__setattr__(self, "_set", {**defaults, **own, **dict.fromkeys(_RESULTS)})
        self._set["target_spec"] = TargetSpec()

    @classmethod
    def from_keras_model(cls, model: Any) -> TFLiteConverter:
        """Convert a Keras model, of Keras 3 or Keras 2 (tf_keras)."""

        def source(converter: TFLiteConverter) -> FloatModel:
            from fullint.frontends.workers.tensorflow_endpoints import of_keras

            return converter._floated(lambda: [of_keras(model)])

        return cls(source)

    @classmethod
    def from_saved_model(
        cls, saved_model_dir: str | Path, signature_keys: Sequence[str] | None = None, tags: Iterable[str] | None = None
    ) -> TFLiteConverter:
        """Convert signatures of a SavedModel folder: the ones with these keys, else serving_default, else all.

        With several, samples are (key, sample) pairs.
        """
        if isinstance(signature_keys, str):
            raise UsageError(f"signature_keys must be a list of keys, not {signature_keys!r}")

        def source(converter: TFLiteConverter) -> FloatModel:
            from fullint.frontends.workers.tensorflow_endpoints import of_saved_model

            return converter._floated(lambda: of_saved_model(saved_model_dir, signature_keys, tags))

        return cls(source)

    @classmethod
    def from_concrete_functions(cls, funcs: Sequence[Any], trackable_obj: Any = None) -> TFLiteConverter:
        """Convert one concrete function; `trackable_obj` keeps its variables alive."""
        if not isinstance(funcs, list | tuple) or len(funcs) != 1:
            raise UsageError("from_concrete_functions needs a list with exactly one concrete function")
        if not hasattr(funcs[0], "structured_input_signature"):
            raise UsageError("funcs[0] is not a concrete function: call get_concrete_function(...) on the tf.function")

        def source(converter: TFLiteConverter) -> FloatModel:
            from fullint.frontends.workers.tensorflow_endpoints import of_function

            endpoint = of_function(funcs[0])
            endpoint.keeps = [endpoint.keeps, trackable_obj] if trackable_obj is not None else endpoint.keeps
            return converter._floated(lambda: [endpoint])

        return cls(source)

    @classmethod
    def from_tflite(cls, model: str | Path | bytes) -> TFLiteConverter:
        """Convert a float `.tflite`, given as path or bytes. TensorFlow is not needed."""
        return cls(lambda converter: (model, None))

    if not TYPE_CHECKING:  # so that type checkers know the attributes above, and no others

        def __getattr__(self, name: str) -> Any:
            known: dict[str, Any] = object.__getattribute__(self, "_set")
            if name not in known:
                raise no_attribute("TFLiteConverter", name, known)
            return known[name]

        def __setattr__(self, name: str, value: Any) -> None:
            if name in _RESULTS or name not in self._set:
                raise no_attribute("TFLiteConverter", name, [n for n in self._set if n not in _RESULTS])
            if name in ATTRIBUTES:
                check(name, value, ATTRIBUTES)
            self._set[name] = value if name != "target_spec" or isinstance(value, TargetSpec) else TargetSpec.of(value)

    def convert(self) -> bytes:
        """Return the all-integer `.tflite`.

        Raises:
            NotIntegerError: some operators cannot be integer; the message names each, with its cause and a way out.
            ConversionError: TensorFlow cannot convert the model.
            UsageError, SamplesError, AccuracyError, VerificationError: as in `fullint.quantize`.
        """
        options = self._options()
        samples = self.representative_dataset
        data, made = self._source(self)
        if samples is None and not rounds_values(read_model(data)):
            raise UsageError(
                "representative_dataset is not set, which means integer weights with float arithmetic: "
                "set it, an all-integer model needs samples, unless it was trained with quantization"
            )
        result: Result = quantize(data, _by_signature(samples, data), **options)
        self._set.update(report=result.report, conversion=made, float_model=data)
        return result.model

    def _options(self) -> dict[str, Any]:
        """The attributes as options of `quantize`.

        Raises:
            UsageError: their combination does not ask for an all-integer model.
        """
        for name in ATTRIBUTES:  # again: a list may have changed since it was assigned
            check(name, self._set[name], ATTRIBUTES)
        self.target_spec.check()
        if not names_of(self.optimizations):
            raise UsageError(
                "optimizations is empty, which means a float model: set converter.optimizations = "
                "[tf.lite.Optimize.DEFAULT] for an all-integer model, or use fullint.convert for a float one"
            )
        sets = names_of(self.target_spec.supported_ops)
        wide = INT16_OPS.name in sets
        bias = self._experimental_full_integer_quantization_bias_type
        if bias is not None and name_of(bias) != ("int64" if wide else "int32"):
            raise UsageError(
                f"with {'int16' if wide else 'int8'} activations, the bias type must be {'int64' if wide else 'int32'}"
            )
        ends = (name_of(self.inference_input_type), name_of(self.inference_output_type))
        return {
            **{n: self._set[n] for n in OWN},
            "io": ",".join(ends),
            "activations": "int16" if wide else "int8",
            "per_tensor": bool(self._experimental_disable_per_channel),
            "dense_per_tensor": bool(self._experimental_disable_per_channel_quantization_for_dense_layers),
        }

    def _floated(self, endpoints: Callable[[], list[Any]]) -> FloatModel:
        """Make the float model with TensorFlow, in this process, and check its results against TensorFlow's."""
        try:
            import tensorflow  # noqa: F401

            from fullint.frontends.workers import tensorflow_float as worker
        except ImportError as e:
            raise UsageError("TensorFlow, which makes the float model, is not installed: pip install tensorflow") from e
        settings = {n: self._set[n] for n, row in ATTRIBUTES.items() if row.handed_on and self._set[n] != row.default}
        try:
            options = ModelOptions(b"", batch=self.batch, shape=self.shape)
            options.check()
            chosen = endpoints()
        except UsageError:
            raise
        except Exception as e:
            raise ConversionError(f"TensorFlow cannot read the model: {sentence(e)}") from e
        firsts = []
        for one in chosen:
            worker.reshape(one, {n or "": list(s) for n, s in options.shapes.items()})
            firsts.append(first_sample(plain_samples(self.representative_dataset, one.key if len(chosen) > 1 else None)))
            _close(one.specs, firsts[-1])
        try:
            made = worker.convert(chosen, self.batch, settings, firsts)
        except Exception as e:  # TensorFlow raises errors of any type
            raise ConversionError(f"TensorFlow cannot convert the model to a float .tflite: {sentence(e)}") from e
        checks = {k: Original(c.inputs, c.outputs, c.sample, c.expected) for k, c in made.checks.items()}
        try:
            done = match_signatures(made.data, checks)
        except (ModelFormatError, RuntimeFailure) as e:
            raise ConversionError(str(e)) from e
        if done.nearness < SAME:
            raise ConversionError(other(done, FRAMEWORKS["keras"], "the model"))
        facts = Conversion("keras", FRAMEWORKS["keras"].tool, made.versions, "this process", 0, done.sqnr_db, done.equal, "")
        return done.model, facts


def _close(specs: list[Any], first: FirstSample) -> None:
    """Set dynamic dimensions other than the batch to the size in the first sample, as TensorFlow's calibration does."""
    for i, s in enumerate(specs):
        own = first.get(s.name, first.get(str(i)))
        given = () if own is None else own.shape
        given = (1, *given) if len(given) == len(s.shape) - 1 else given  # a sample without a batch dimension
        if None in list(s.shape)[1:] and len(given) == len(s.shape):
            sizes = [n if k == 0 or n is not None else given[k] for k, n in enumerate(s.shape)]
            specs[i] = type(s)(sizes, s.dtype, name=s.name)


def _by_signature(samples: Any, data: str | Path | bytes) -> Any:
    """The samples, by key where the float model has several signatures with graphs of their own."""
    if isinstance(samples, Mapping) or samples is None:
        return plain_samples(samples)
    model = read_model(data)
    keys = [key_of(model, graph) for graph in model.entries]
    return {key: plain_samples(samples, key) for key in keys} if len(keys) > 1 else plain_samples(samples)


def plain_samples(samples: Any, key: str | None = None) -> Any:
    """Samples with tensors converted to arrays; also TensorFlow's RepresentativeDataset, and (signature key, sample) pairs.

    Args:
        samples: as the user gives them.
        key: of the signature whose samples are wanted, where there are several.
    """
    samples = getattr(samples, "input_gen", samples)
    if not callable(samples):
        return samples

    def generate() -> Iterator[Any]:
        given = samples()
        if not isinstance(given, Iterable):
            raise SamplesError(f"representative_dataset returns {type(given).__name__}; it must yield samples one by one")
        for sample in given:
            if isinstance(sample, tuple) and len(sample) == 2 and isinstance(sample[0], str):
                own, sample = sample
                if key is not None and own != key:
                    continue
            elif key is not None:
                raise SamplesError(f'a sample of no signature: the model has several, so give ("{key}", sample) pairs')
            if isinstance(sample, Mapping):
                yield {k: _array(v) for k, v in sample.items()}
            elif isinstance(sample, list | tuple):
                yield [_array(v) for v in sample]
            else:
                yield _array(sample)

    return generate


def _array(value: Any) -> Any:
    """A tensor as an array; other values are checked later, against the input."""
    return value.numpy() if hasattr(value, "numpy") else value
