"""TensorFlow Lite's quantization debugger as a drop-in: which operators add error, and a model without those.

    debugger = QuantizationDebugger(converter=converter, debug_dataset=samples)
    debugger.run()                                       fullint.compare(float model, integer model)
    debugger.layer_statistics_dump(file)                 a row for each operator, as TensorFlow writes it
    QuantizationDebugOptions(denylisted_nodes=[...])     converter.keep_float

An operator's error is that of its own result on exact inputs, in real units.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

from fullint.comparing.pipeline import compare
from fullint.comparing.report import ComparedOperator, CompareReport, OwnError
from fullint.compat.converter import TFLiteConverter, plain_samples
from fullint.errors import UsageError

METRICS: dict[str, Callable[[OwnError], float]] = {
    "stddev": lambda e: e.stddev,
    "mean_error": lambda e: e.mean,
    "max_abs_error": lambda e: e.largest,
    "mean_squared_error": lambda e: e.mean_square,
}
"""TensorFlow's statistics of a layer."""


@dataclass(frozen=True)
class QuantizationDebugOptions:
    """What is debugged, and what stays float.

    Attributes:
        layer_debug_metrics, model_debug_metrics, layer_direct_compare_metrics: functions of arrays, which are refused: fullint
            keeps sums, not arrays.
        denylisted_ops: types of operators that stay float.
        denylisted_nodes: names of tensors whose operators stay float.
        fully_quantize: no effect, since all is.
    """

    layer_debug_metrics: Mapping[str, Any] | None = None
    model_debug_metrics: Mapping[str, Any] | None = None
    layer_direct_compare_metrics: Mapping[str, Any] | None = None
    denylisted_ops: Sequence[str] | None = None
    denylisted_nodes: Sequence[str] | None = None
    fully_quantize: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name.endswith("_metrics") and getattr(self, field.name):
                raise UsageError(
                    f"{field.name}: functions of arrays are not supported: layer_statistics has {', '.join(METRICS)}, and "
                    "fullint.compare more"
                )

    @property
    def kept(self) -> list[str]:
        """What `keep_float` takes."""
        return [*(self.denylisted_ops or ()), *(self.denylisted_nodes or ())]


class QuantizationDebugger:
    """A replacement for tf.lite.experimental.QuantizationDebugger.

    Args:
        quant_debug_model_path, quant_debug_model_content: an integer model to be debugged, with its float model; or
        float_model_path, float_model_content: that float model.
        debug_dataset: samples, as for the converter; by default the converter's own.
        debug_options: see `QuantizationDebugOptions`.
        converter: one of `fullint.compat`, which makes both models.

    Raises:
        UsageError: neither a converter nor two models are given.
    """

    def __init__(
        self,
        quant_debug_model_path: str | None = None,
        quant_debug_model_content: bytes | None = None,
        float_model_path: str | None = None,
        float_model_content: bytes | None = None,
        debug_dataset: Any = None,
        debug_options: QuantizationDebugOptions | None = None,
        converter: TFLiteConverter | None = None,
    ) -> None:
        self._integer: str | bytes | None = quant_debug_model_content or quant_debug_model_path
        self._exact: str | Path | bytes | None = float_model_content or float_model_path
        if converter is None and (self._integer is None or self._exact is None):
            raise UsageError("give converter, or quant_debug_model_path and float_model_path (or their contents)")
        if converter is not None and not isinstance(converter, TFLiteConverter):
            raise UsageError("converter: must be a fullint.compat.TFLiteConverter")
        self._converter, self._samples = converter, debug_dataset
        self._kept = converter.keep_float if converter is not None else None
        self._report: CompareReport | None = None
        self.options = debug_options or QuantizationDebugOptions()

    @property
    def options(self) -> QuantizationDebugOptions:
        """What stays float; setting it makes the model again."""
        return self._options

    @options.setter
    def options(self, options: QuantizationDebugOptions) -> None:
        if not isinstance(options, QuantizationDebugOptions):
            raise UsageError("debug_options: must be a fullint.compat.QuantizationDebugOptions")
        if self._converter is None and options.kept:
            raise UsageError("denylisted_ops and denylisted_nodes need the converter, which makes the model again")
        self._options = options
        self._report = None
        if self._converter is not None:
            before = [] if self._kept is None else [self._kept] if isinstance(self._kept, str | int) else list(self._kept)
            self._converter.keep_float = [*before, *options.kept] or None
            try:
                self._integer = self._converter.convert()
            finally:
                self._converter.keep_float = self._kept
            self._exact = self._converter.float_model

    def run(self) -> None:
        """Compare both models, operator by operator, on the samples."""
        samples = self._samples
        if samples is None and self._converter is not None:
            samples = self._converter.representative_dataset
        if samples is None:
            raise UsageError("debug_dataset is not set, and there is no converter with a representative_dataset")
        assert self._exact is not None and self._integer is not None
        self._report = compare(self._exact, self._integer, plain_samples(samples))

    @property
    def report(self) -> CompareReport:
        """What `fullint.compare` found.

        Raises:
            UsageError: `run` was not called.
        """
        if self._report is None:
            raise UsageError("call run() first")
        return self._report

    @property
    def layer_statistics(self) -> dict[str, dict[str, float]]:
        """Statistics of the error of each operator, by the name of the tensor that it makes in the float model."""
        return {o.exact_output: row for o, row in self._rows()}

    @property
    def model_statistics(self) -> dict[str, float]:
        """Signal to noise of the whole model's outputs."""
        return {} if self.report.sqnr_db is None else {"sqnr_db": self.report.sqnr_db}

    def layer_statistics_dump(self, file: IO[str]) -> None:
        """Write a comma-separated row for each operator: its type, index, statistics, scale, zero point and tensor."""
        writer = csv.writer(file)
        writer.writerow(["op_name", "tensor_idx", "num_elements", *METRICS, "scale", "zero_point", "tensor_name"])
        for o, row in self._rows():
            writer.writerow([o.kind, o.tensor, *row.values(), o.scale, o.zero_point, o.exact_output])

    def get_nondebug_quantized_model(self) -> bytes:
        """The integer model, with what `options` keep in float."""
        if isinstance(self._integer, str):
            with open(self._integer, "rb") as f:
                return f.read()
        assert self._integer is not None
        return self._integer

    def get_debug_quantized_model(self) -> bytes:
        """The same: nothing has to be put into a model to compare it."""
        return self.get_nondebug_quantized_model()

    def _rows(self) -> Iterator[tuple[ComparedOperator, dict[str, float]]]:
        for o in sorted(self.report.operators, key=lambda o: o.index):
            if o.scale is not None and o.own_error is not None:
                error = o.own_error
                yield o, {"num_elements": o.elements, **{name: metric(error) for name, metric in METRICS.items()}}
