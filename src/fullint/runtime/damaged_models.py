"""What is wrong with a model that made fullint itself fail: LiteRT is asked.

    an exception of Python  ->  does LiteRT load the model?                       no  ->  ModelFormatError: what LiteRT says
                                are shapes and types those that the file says?    no  ->  ModelFormatError: which tensor
                                                                                 yes  ->  the exception: a bug of fullint

A damaged file can break any rule of the format. Those that matter are checked when it is read (`ops.structure`); for all
others, a message that names the damage takes the place of one that asks for a report.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fullint.errors import FullintError, ModelFormatError, RuntimeFailure
from fullint.limits import limited
from fullint.model.ir import Tensor
from fullint.model.tflite import is_tflite, read_model

if TYPE_CHECKING:
    from fullint.runtime.messages import LoadedTensor

Arguments = ParamSpec("Arguments")
Answered = TypeVar("Answered")


def diagnosing(function: Callable[Arguments, Answered]) -> Callable[Arguments, Answered]:
    """Make a call look at the models that it was given where it fails in a way that nobody foresaw.

    Its models are those of its arguments that are one: bytes, paths, or the `model` of options. The call then also raises

    ModelFormatError: LiteRT does not load a model, or a model says of a tensor what is not so.
    RuntimeFailure: this process gets no more memory. Where LiteRT rejects a model that it loads, the error also has what the
        file says wrongly.
    """

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answered:
        try:
            return function(*args, **kwargs)
        except RuntimeFailure as e:
            if not e.crashed and (why := _fault(args, kwargs, loads=True)):
                raise RuntimeFailure(f"{e}; {why}", sample=e.sample) from e
            raise
        except (FullintError, OSError):
            raise
        except MemoryError as e:
            raise RuntimeFailure(f"there is not enough memory for this: {e or 'a model or a sample is too large'}") from e
        except Exception as e:
            if not _of_the_user(e) and (why := _fault(args, kwargs)):
                raise ModelFormatError(why) from e
            raise

    return call


def _of_the_user(error: BaseException) -> bool:
    """Whether it was raised by code that a call was given, such as a generator of samples."""
    frames = traceback.extract_tb(error.__traceback__)
    known = (str(Path(__file__).parents[1]), sys.prefix, sys.base_prefix)
    return any(not frame.filename.startswith((*known, "<")) for frame in frames[1:])


def _fault(args: Sequence[object], kwargs: Mapping[str, object], *, loads: bool = False) -> str | None:
    """What is wrong with the first model that something is wrong with; `loads`: other than that LiteRT does not load it."""
    options = next((a for a in args if hasattr(a, "worker_memory")), None)
    memory, seconds = (kwargs.get(n, getattr(options, n, None)) for n in ("worker_memory", "worker_seconds"))
    for argument in [*args, *kwargs.values()]:
        given = getattr(argument, "model", argument)
        if isinstance(given, str | Path | bytes) and is_tflite(given):
            name = "the TFLite model" if isinstance(given, bytes) else str(given)
            try:
                with limited(memory, seconds):  # type: ignore[arg-type]
                    why = next(_lies(given), None)
            except RuntimeFailure as e:
                why = None if loads else str(e)
            except FullintError:
                why = None
            if why is not None:
                return f"{name}: damaged: {why}"
    return None


def _lies(source: str | Path | bytes) -> Iterator[str]:
    """What a model says of tensors of its main graph that LiteRT finds to be otherwise."""
    from fullint.runtime.messages import Declared  # commands that run nothing need none of this
    from fullint.runtime.process import WorkerProcess, model_file

    model = read_model(source)
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(model_file(source)) if isinstance(source, bytes) else str(source)
        found = stack.enter_context(WorkerProcess()).call(Declared(path))
    for t, there in zip(model.main.tensors, found, strict=False):
        yield from _differences(t, there)


def _differences(t: Tensor, there: LoadedTensor) -> Iterator[str]:
    shape, dtype = there
    if shape is not None and all(n >= 0 for n in t.shape) and tuple(t.shape) != shape:
        yield f'tensor "{t.name}" has shape {list(t.shape)}, but LiteRT computes {list(shape)}'
    if dtype and t.dtype != dtype:
        yield f'tensor "{t.name}" is {t.dtype}, but LiteRT computes {dtype}'
