"""Convert PyTorch exported programs and modules to float `.tflite` with litert-torch.

    .pt2, or a function that returns (module, example inputs) -> torch.export -> litert-torch

Inputs and outputs keep PyTorch's layout (NCHW); litert-torch moves axes inside the graph.

    python torch_float.py REQUEST.json
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def load(asked: Mapping[str, Any]) -> tuple[Any, tuple[Any, ...], list[str]]:
    """(module, example inputs, names of the inputs) of the requested model.

    Raises:
        Refused: litert-torch cannot convert it in this form.
    """
    import torch
    from worker_protocol import Refused

    path = asked["model"]
    if asked["function"]:
        made = _called(path, asked["function"])
    elif zipfile.is_zipfile(path):
        made = torch.export.load(path)
    else:
        raise Refused(
            "not a PyTorch exported program (.pt2): it is no zip archive, or is truncated; save it with torch.export.save"
        )
    if isinstance(made, torch.nn.Module):
        raise Refused("the function returns a module without example inputs: return (module, (example_input, ...))")
    if isinstance(made, tuple):
        module, example = made
        example = tuple(example) if isinstance(example, tuple | list) else (example,)
        made = torch.export.export(module.eval(), example)
    if not isinstance(made, torch.export.ExportedProgram):
        raise Refused(f"the function returns {type(made).__name__}, not (module, (example_input, ...)) or an ExportedProgram")
    if made.example_inputs is None:
        raise Refused("the exported program has no example inputs: export it with torch.export.export(module, inputs)")
    args, kwargs = made.example_inputs
    if kwargs:
        raise Refused(f"the program has keyword inputs ({', '.join(kwargs)}): export it with positional inputs only")
    values = _sized(made, torch.utils._pytree.tree_leaves(args), asked)
    return _unfolded(made.module()), tuple(values), [str(n) for n in made.graph_signature.user_inputs]


UNDECLARED = re.compile(r"operator torchvision::(\w+) does not exist")
MOST_UNDECLARED = 20


def _called(path: str, function: str) -> Any:
    """The result of the user's function, also where torchvision was compiled for another torch than is there.

    A torchvision for CUDA beside a torch for the CPU, or the reverse, loads no library of its own and is not importable,
    since it describes operators that nobody declared. They are declared, without code: most networks use none of them, and
    one that does (`nms`, `roi_align`) fails by its name.
    """
    import torch
    from worker_protocol import called

    for _ in range(MOST_UNDECLARED):
        try:
            return called(path, function)
        except RuntimeError as e:
            missing = UNDECLARED.search(str(e))
            if missing is None:
                raise
            torch.library.define(f"torchvision::{missing[1]}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            for name in [n for n in sys.modules if n.partition(".")[0] not in sys.modules]:
                del sys.modules[name]  # a part of a package whose import failed
    return called(path, function)


def _unfolded(module: Any) -> Any:
    """Expand weights that PT2E stored as int8 to float, quantized with the same parameters, as litert-torch requires.

    int8 parameter -> dequantize        =>        float parameter -> quantize -> dequantize
    """
    import torch

    quantize = {
        torch.ops.quantized_decomposed.dequantize_per_channel.default: "quantize_per_channel",
        torch.ops.quantized_decomposed.dequantize_per_tensor.default: "quantize_per_tensor",
    }
    values = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for node in [n for n in module.graph.nodes if n.target in quantize]:
        stored, *grid = node.args
        if getattr(stored, "op", "") != "get_attr" or stored.target not in values:
            continue
        known = [values[a.target] if isinstance(a, torch.fx.Node) else a for a in grid]
        name = f"{stored.target}_float".replace(".", "_")
        module.register_buffer(name, node.target(values[stored.target], *known, **node.kwargs))
        with module.graph.inserting_before(node):
            real = module.graph.get_attr(name)
            codes = module.graph.call_function(
                getattr(torch.ops.quantized_decomposed, quantize[node.target]).default, (real, *grid)
            )
        node.args = (codes, *grid)
    module.recompile()
    return module


def _sized(program: Any, values: list[Any], asked: Mapping[str, Any]) -> list[Any]:
    """Example inputs with the requested shapes, and the requested size for a dynamic batch."""
    import torch
    from worker_protocol import Refused, shape_of

    nodes = {n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"}
    found = []
    for name, value in zip(program.graph_signature.user_inputs, values, strict=True):
        traced = nodes.get(name)
        size = list(value.shape)
        wanted = shape_of(asked["shapes"], name, len(values) == 1)
        if wanted is not None:
            size = list(wanted)
        elif traced is not None:
            opened = [k for k, n in enumerate(traced.shape) if isinstance(n, torch.SymInt)]
            if any(opened):
                raise Refused(
                    f'input "{name}" has dynamic dimensions {tuple(map(str, traced.shape))}: give its shape (--shape, shape=)'
                )
            if opened:
                size[0] = asked["batch"]
        found.append(value if size == list(value.shape) else torch.zeros(size, dtype=value.dtype))
    return found


def main() -> None:
    """Convert the model that REQUEST.json names."""
    import litert_torch
    import torch
    import worker_protocol

    asked = worker_protocol.request()
    folder = Path(asked["folder"])
    module, example, names = load(asked)
    shapes = [(x.shape, "float32" if x.is_floating_point() else "int64") for x in example]
    values = worker_protocol.drawn(shapes, names, worker_protocol.given(folder))
    sample = tuple(torch.from_numpy(v).to(x.dtype) for v, x in zip(values, example, strict=True))
    with torch.no_grad():
        made = module(*sample)
    expected = [x for x in torch.utils._pytree.tree_leaves(made) if isinstance(x, torch.Tensor)]
    outputs = [str(k) for k in made] if isinstance(made, dict) else [f"output_{i}" for i in range(len(expected))]
    litert_torch.convert(module, sample).export(str(folder / "0.tflite"))
    worker_protocol.write(
        folder,
        ([(n, f"args_{i}") for i, n in enumerate(names)], [(n, f"output_{i}") for i, n in enumerate(outputs)]),
        ([x.numpy() for x in sample], [x.detach().numpy() for x in expected]),
        {"torch": torch.__version__, "litert-torch": litert_torch.__version__},
    )


if __name__ == "__main__":
    from worker_protocol import answered

    answered(main)
