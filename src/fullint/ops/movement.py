"""Rows of operators that move, select or combine values without computing new ones, and of pooling.

Their kernels copy integers, so input and output must have the same scale and zero point: some check it, others are silently
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fullint.model.ir import Op
from fullint.ops.base import Fault, OpRow, Raw, Role, Same, rank, static

_COPIES = "the kernel copies integers"


def _move(
    kind: str,
    inputs: str,
    version: int | Callable[[Op], int],
    source: str,
    because: str = _COPIES,
    *,
    outputs: tuple[Same | Raw, ...] = (Same(),),
    faults: Mapping[str, Fault] | None = None,
    refuses: Callable[[Op], str | None] = lambda op: None,
    int32: bool = True,
    more_inputs: bool = False,
    more_outputs: bool = False,
) -> OpRow:
    """Make a row; `inputs` has one letter per operand: s(ame), r(aw), a(ny)."""
    roles = {"s": Role.SAME, "r": Role.RAW, "a": Role.ANY}
    return OpRow(
        kind,
        tuple(roles[c] for c in inputs),
        outputs,
        version,
        f"kernels/{source}",
        because,
        faults=faults or {},
        refuses=refuses,
        int32=int32,
        more_inputs=more_inputs,
        more_outputs=more_outputs,
    )


def _by_rank(low: int, limit: int, high: int) -> Callable[[Op], int]:
    """A version function: `low`, or `high` if the input's rank exceeds `limit`."""
    return lambda op: high if rank(op) > limit else low


def _transpose_version(op: Op) -> int:
    n = rank(op)
    return 8 if n > 6 else 6 if n > 5 else 4 if n > 4 else 2


def _gather_version(op: Op) -> int:
    indices = op.input(1)
    if indices is not None and indices.dtype == "int16":
        return 6
    return 5 if op.options.get("batch_dims") else 2


def _strided_slice_version(op: Op) -> int:
    o = op.options
    if o.get("offset"):
        return 8
    if o.get("ellipsis_mask") or o.get("new_axis_mask"):
        return 6
    return 4 if rank(op) > 4 else 2


def _resize_bilinear_version(op: Op) -> int:
    return 3 if op.options.get("half_pixel_centers") else 2


def _resize_nearest_version(op: Op) -> int:
    return 3 if op.options.get("half_pixel_centers") or op.options.get("align_corners") else 2


def _batch_space_version(op: Op) -> int:
    return 2 if rank(op) == 4 else 3


ROWS = (
    _move("RESHAPE", "sr", 1, "reshape.cc"),
    _move("SQUEEZE", "s", 1, "squeeze.cc"),
    _move("EXPAND_DIMS", "sr", 1, "expand_dims.cc"),
    _move("TRANSPOSE", "sr", _transpose_version, "transpose.cc"),
    _move("SLICE", "srr", _by_rank(2, 4, 5), "slice.cc"),
    _move("STRIDED_SLICE", "srrr", _strided_slice_version, "strided_slice.cc"),
    _move("GATHER", "sr", _gather_version, "gather.cc", "unequal parameters are accepted and silently wrong"),
    _move("GATHER_ND", "sr", 1, "gather_nd.cc"),
    _move("CONCATENATION", "s", 2, "concatenation.cc", more_inputs=True),
    _move("PACK", "s", 2, "pack.cc", more_inputs=True),
    _move("UNPACK", "s", 2, "unpack.cc", more_outputs=True),
    _move("SPLIT", "rs", 2, "split.cc", more_outputs=True),
    _move("SPLIT_V", "srr", 2, "split_v.cc", more_outputs=True),
    _move("PAD", "sr", _by_rank(2, 4, 4), "pad.cc", "pads with the zero point"),
    _move("PADV2", "srs", _by_rank(2, 4, 4), "pad.cc", "the pad value has the same parameters"),
    _move("MIRROR_PAD", "sr", 2, "mirror_pad.cc", "unequal parameters are rejected"),
    _move(
        "TILE",
        "sr",
        3,
        "tile.cc",
        "unequal parameters are accepted and silently wrong",
        faults={"reference": Fault("the reference kernels support version 2 at most; int8 needs version 3", absent=True)},
    ),
    _move("BROADCAST_TO", "sr", 2, "broadcast_to.cc"),
    _move("REVERSE_V2", "sr", 3, "reverse.cc", "unequal parameters are accepted and silently wrong"),
    _move("SPACE_TO_DEPTH", "s", 2, "space_to_depth.cc"),
    _move(
        "DEPTH_TO_SPACE",
        "s",
        2,
        "depth_to_space.cc",
        faults={"reference": Fault("the reference kernels support version 1 at most; int8 needs version 2", absent=True)},
    ),
    _move("SPACE_TO_BATCH_ND", "srr", _batch_space_version, "space_to_batch_nd.cc"),
    _move("BATCH_TO_SPACE_ND", "srr", _batch_space_version, "batch_to_space_nd.cc"),
    _move("DYNAMIC_UPDATE_SLICE", "ssr", 1, "dynamic_update_slice.cc"),
    _move("MAX_POOL_2D", "s", 2, "pooling.cc", "the kernel compares integers", int32=False),
    _move("AVERAGE_POOL_2D", "s", 2, "pooling.cc", "the kernel averages integers without rescaling", int32=False),
    _move("RESIZE_NEAREST_NEIGHBOR", "sr", _resize_nearest_version, "resize_nearest_neighbor.cc"),
    _move(
        "RESIZE_BILINEAR",
        "sr",
        _resize_bilinear_version,
        "resize_bilinear.cc",
        "the kernel interpolates integers without rescaling",
        int32=False,
    ),
    _move("REDUCE_MAX", "sr", 2, "reduce.cc", "unequal parameters are rejected", refuses=static(1)),
    _move("REDUCE_MIN", "sr", 2, "reduce.cc", "unequal parameters are rejected", refuses=static(1)),
    _move("TOPK_V2", "sr", 2, "topk_v2.cc", outputs=(Same(), Raw())),
    _move("ARG_MAX", "sr", 2, "arg_min_max.cc", "the kernel compares integers", outputs=(Raw(),)),
    _move("ARG_MIN", "sr", 2, "arg_min_max.cc", "the kernel compares integers", outputs=(Raw(),)),
    _move("SHAPE", "a", 1, "shape.cc", "reads only the shape", outputs=(Raw(),), int32=False),
    _move("RANK", "a", 1, "rank.cc", "reads only the shape", outputs=(Raw(),), int32=False),
)
