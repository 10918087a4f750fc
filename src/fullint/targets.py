"""What matters about where a result is to run, as a table.

A look-up (CAST, ADD, GATHER) is exact and cheap on a CPU, but an accelerator that takes no GATHER hands it
back to the CPU, with a copy there and back. For such a target only what has no kernel at all becomes a
table, and the report says that it will not run on the accelerator.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One row.

    Attributes:
        name: as in `--target`.
        lookups: whether a table runs where the rest does.
        why: what is known of its GATHER.
        source: where that is known from.
        runtime: the release whose operators it knows, "" where it does not look at versions.
    """

    name: str
    lookups: bool
    why: str
    source: str
    runtime: str = ""


TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("litert", True, "every kernel set has CAST, ADD and GATHER", "LiteRT, kernels/register.cc, register_ref.cc"),
        Target("tflm", True, "CAST, ADD and GATHER are registered", "TensorFlow Lite Micro, micro_mutable_op_resolver.h"),
        Target("ethos-u", False, "its compiler leaves GATHER and CAST to the CPU", "Arm Vela, supported operators"),
        Target(
            "edgetpu",
            False,
            "GATHER and CAST are not among the operators it takes",
            "Coral, supported operations; compiler 16.0 refuses CONV_2D version 6, which is 2.9 (google-coral/edgetpu#631)",
            runtime="2.8.0",
        ),
    )
}
