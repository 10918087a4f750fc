"""The targets of `--target`, as a table: whether look-ups run there, and which operator versions are known.

A look-up (CAST, ADD, GATHER) is exact and cheap on a CPU, but an accelerator that does not support GATHER returns it to the
CPU, with a copy each way. For such a target only operators without any other integer form become look-ups, and the report
says that they will not run on the accelerator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fullint.errors import UsageError


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        name: its name, as in `--target`.
        lookups: whether look-ups run on the target itself.
        why: the reason, as a sentence.
        source: where this is documented.
        wide_streams: whether residual streams and normalizations may compute in int16: it has to have all the kernels, and be
            able to change types between operators.
        int16: whether it has kernels for int16 activations.
        int16_factor: how many times as long they take there as in int8; 0: as long as LiteRT's kernels (`ops.kernel_times`).
        wide_lookups: whether look-ups of 16-bit values run on the target, too.
        runtime: the newest release whose operator versions it supports, "" if it does not check versions.
    """

    name: str
    lookups: bool
    why: str
    source: str
    wide_streams: bool = False
    int16: bool = True
    int16_factor: float = 0.0
    wide_lookups: bool = True
    runtime: str = ""

    def looks_up(self, dtype: str) -> bool:
        """Whether look-ups of values of a type run on the target."""
        return self.lookups and (self.wide_lookups or dtype != "int16")


TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("litert", True, "every kernel set has CAST, ADD and GATHER", "LiteRT, kernels/register.cc, register_ref.cc", True),
        Target("tflm", True, "CAST, ADD and GATHER are registered", "TensorFlow Lite Micro, micro_mutable_op_resolver.h"),
        Target(
            "ethos-u",
            False,
            "its compiler leaves GATHER and CAST to the CPU",
            "Arm Vela, supported operators; 16-bit activations at half the rate of 8-bit ones: Ethos-U55 technical overview",
            int16_factor=2.0,
        ),
        Target(
            "edgetpu",
            False,
            "GATHER and CAST are not among its supported operators",
            "Coral, supported operations; compiler 16.0 rejects CONV_2D version 6, from 2.9 (google-coral/edgetpu#631)",
            int16=False,
            runtime="2.8.0",
        ),
        Target(
            "qualcomm",
            True,
            "its compiler takes no CAST from int16 to int32",
            "answers of LiteRT's compiler plugin with QNN 2.51 for SM8750",
            wide_lookups=False,
        ),
        Target(
            "openvino",
            True,
            "its plugin takes CAST, ADD and GATHER",
            "LiteRT, vendors/intel_openvino/compiler/openvino_compiler_plugin.cc",
        ),
    )
}


def names_of_targets(text: str) -> tuple[str, ...]:
    """The targets of a text such as "tflm,ethos-u:ethos-u65-256", each as it is written.

    Raises:
        UsageError: one of them is unknown, or there is none.
    """
    if not isinstance(text, str):
        raise UsageError(f"target must be {', '.join(TARGETS)}, or several joined by commas, not {text!r}")
    names = tuple(part.strip() for part in text.split(","))
    unknown = [n for n in names if n.partition(":")[0] not in TARGETS]
    if unknown:
        raise UsageError(f'target must be one of {", ".join(TARGETS)}, or several joined by commas, not "{text}"')
    return names


def target_of(text: str) -> Target:
    """A target, or several as one: what all of them have."""
    found = [TARGETS[name.partition(":")[0]] for name in names_of_targets(text)]
    return found[0] if len(found) == 1 else _all_of(text, found)


def _all_of(text: str, found: Sequence[Target]) -> Target:
    lacking = [t for t in found if not (t.lookups and t.wide_lookups)]
    return Target(
        name=text,
        lookups=all(t.lookups for t in found),
        why="; ".join(t.why for t in lacking or found),
        source="; ".join(t.source for t in found),
        wide_streams=all(t.wide_streams for t in found),
        int16=all(t.int16 for t in found),
        int16_factor=max(t.int16_factor for t in found),
        wide_lookups=all(t.wide_lookups for t in found),
        runtime=min((t.runtime for t in found if t.runtime), default="", key=_release),
    )


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split("."))
