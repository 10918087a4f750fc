"""Code that quantizes the inputs of a model and reads its outputs, with the file's own numbers: one module per language.

A language is a function of (inputs, outputs, path of the model) that returns the text of a source file. Names of tensors
come from files and are only ever written in comments, in ASCII; in code, inputs and outputs are numbered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fullint.auditing.snippets import c, cpp, kotlin, python
from fullint.auditing.snippets.interface import InterfaceTensor, describe_interface
from fullint.model.ir import Graph

SNIPPETS: dict[str, Callable[[Sequence[InterfaceTensor], Sequence[InterfaceTensor], str], str]] = {
    "python": python.write,
    "cpp": cpp.write,
    "c": c.write,
    "kotlin": kotlin.write,
}


def write_snippet(graph: Graph, language: str, path: str) -> str:
    """The snippet for a model.

    Args:
        graph: the main graph of the model.
        language: one of `SNIPPETS`.
        path: of the model, as the user gave it; "" if it has none.

    Raises:
        UsageError: an input or output has a type or parameters that the language's runtime cannot handle.
    """
    inputs = describe_interface("input", graph.inputs)
    outputs = describe_interface("output", graph.outputs)
    return SNIPPETS[language](inputs, outputs, path or "model.tflite")
