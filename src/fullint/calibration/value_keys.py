"""Names of values that the same network has however it is exported: by all that they are computed from.

    x, the first input           key = hash(input, 0, shape, type)
    y = CONV_2D(x, W, b)         key = hash(CONV_2D, options, key of x, bytes of W and b, first output)

Names, order and layout of a file do not count. Another weight or option gives all values behind it another key, so that the
first value without a known key says where two networks part. Values that are computed alike have one key: they are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fullint.calibration.collect import has_state
from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor
from fullint.model.subgraphs import callees_first

_BYTES = 16


def value_keys(model: Model) -> dict[Tensor, str]:
    """The key of each activation and variable, of a prepared model.

    Where runs depend on those before them, the whole network is part of every key: a value depends on what is written anywhere.
    """
    own = _Digests()
    salt = _hash("state", *sorted(d for g in model.graphs for d in own.structure(g))) if has_state(model) else b""
    found: dict[Tensor, bytes] = {}
    callers: dict[Graph, list[bytes]] = {}
    called = callees_first([op for graph in model.entries for op in graph.ops])
    for graph in (*model.entries, *reversed(called)):  # callers first
        start = _entry(model, graph, salt) if graph in model.entries else _hash("called", *sorted(callers.get(graph, ())))
        for op, digest in own.walk(graph, start, found):
            for place, callee in enumerate(op.subgraphs()):
                callers.setdefault(callee, []).append(_hash("caller", str(place), digest))
    return {t: digest.hex() for t, digest in found.items()}


def _entry(model: Model, graph: Graph, salt: bytes) -> bytes:
    return _hash("entry", str(model.entries.index(graph)), salt)


class _Digests:
    """Digests of constants, options and graphs, each found once."""

    def __init__(self) -> None:
        self._constants: dict[tuple[int, tuple[int, ...], str], bytes] = {}
        self._structures: dict[Graph, list[bytes]] = {}

    def structure(self, graph: Graph) -> list[bytes]:
        """Of each operator of a graph, whoever calls it."""
        if graph not in self._structures:
            self._structures[graph] = [digest for _, digest in self.walk(graph, b"", {})]
        return self._structures[graph]

    def walk(self, graph: Graph, start: bytes, found: dict[Tensor, bytes]) -> list[tuple[Op, bytes]]:
        """The operators with their digests; keys of the tensors are added to `found`."""
        for i, t in enumerate(graph.inputs):
            found.setdefault(t, _hash("input", start, str(i), *_form(t)))
        done = []
        for op in graph.ops:
            inputs = [self._operand(t, start, found) for t in op.inputs]
            digest = _hash(op.kind, op.custom_code or "", *inputs, *self._options(op))
            for i, t in enumerate(op.outputs):
                found.setdefault(t, _hash("output", str(i), digest, *_form(t)))
            for i, x in enumerate(op.inputs):
                if x is not None and x.is_variable:
                    found.setdefault(x, _hash("variable", str(i), digest))
            done.append((op, digest))
        return done

    def _operand(self, t: Tensor | None, start: bytes, found: Mapping[Tensor, bytes]) -> bytes:
        if t is None:
            return b"none"
        if t.buffer is not None:
            key = (id(t.buffer), t.shape, t.dtype)
            if key not in self._constants:
                self._constants[key] = _hash("constant", t.buffer.data, *_form(t))
            return self._constants[key]
        return _hash("a variable", *_form(t)) if t.is_variable else found.get(t, start)

    def _options(self, op: Op) -> list[bytes]:
        more = [("custom", op.custom_options)] if op.custom_options is not None else []
        extra = list(op.extra[1].items()) if op.extra is not None else []
        given = [(name, value) for name, value in (*op.options.items(), *extra, *more) if isinstance(value, np.ndarray) or value]
        return [_hash(name, *self._value(value)) for name, value in sorted(given, key=lambda pair: pair[0])]

    def _value(self, value: Any) -> list[bytes]:
        if isinstance(value, Graph):
            outputs: dict[Tensor, bytes] = {}
            self.walk(value, b"", outputs)
            return [*sorted(self.structure(value)), *(self._operand(t, b"", outputs) for t in value.outputs)]
        if isinstance(value, list | tuple):
            return [_hash("item", *self._value(one)) for one in value]
        return [_hash(value if isinstance(value, np.ndarray) else repr(value.item() if isinstance(value, np.generic) else value))]


def _form(t: Tensor) -> list[str]:
    return [str(tuple(t.shape)), t.dtype, *_parameters(t.quant)]


def _parameters(q: Quant | None) -> list[str]:
    return [] if q is None else [q.scale.tobytes().hex(), q.zero_point.tobytes().hex(), str(q.axis)]


def _hash(*parts: str | bytes | Array) -> bytes:
    """Of parts, each with its length before it, so that no two lists of parts are alike."""
    made = hashlib.blake2b(digest_size=_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        size = len(data) if isinstance(data, bytes) else data.nbytes
        made.update(size.to_bytes(8, "big"))
        made.update(data if isinstance(data, bytes) else data.data)
    return made.digest()
