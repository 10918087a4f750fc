"""What is needed later and depends on no decision is begun in processes that would be idle meanwhile.

    here      equalize  assign  rewrite | refine                    | certify
    worker    the float model up to the first operator to refine    |
    other     the given model on the samples that will judge        | the result ...

Who asks for one of these processes waits until it has done what was begun. Of a large model, whose constants are mapped, there is
no second copy beside the first: the given model waits for the certificate.
"""

from __future__ import annotations

from fullint.calibration.collect import has_state
from fullint.ops.control_flow import BODY
from fullint.ops.macs import total_macs
from fullint.quantization.refinement import given_samples, refined_operators
from fullint.quantization.stage_values import Calibrated
from fullint.quantization.workbench import Workbench
from fullint.verification.paired_runs import BEGUN

AHEAD_MACS = 6_000_000_000
"""Multiply-accumulates that take about as long as to decide on parameters."""


def head_start(bench: Workbench, calibrated: Calibrated) -> Calibrated:
    """The same value; two processes are busy from here on until somebody asks for them."""
    model, loaded = calibrated.model, calibrated.prepared.loaded
    if has_state(model):
        return calibrated
    macs = max(total_macs(model), 1)
    held = calibrated.held[0]
    loops = any(BODY in op.options for _, op in model.ops())  # their time is limited by that of the float model, measured then
    if isinstance(held.samples, list) and not loops and not loaded.corrected and not bench.mapped:
        judges = [*held.samples, *(sample for _, sample in held.also)]
        bench.find_exact(loaded.entries[0].path, judges[: min(BEGUN, AHEAD_MACS // macs)])
    cuts = refined_operators(calibrated)
    if len(calibrated.refining) >= 2 and cuts:
        bench.begin_steps(model, cuts, given_samples(calibrated), loaded.options.workers, calibrated.prepared.pinned)
    return calibrated
