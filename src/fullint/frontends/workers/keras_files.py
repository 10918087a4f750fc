"""Read Keras files and SavedModels, of Keras 3 and of Keras 2.

    .keras .h5     Keras 3  --refused-->  Keras 2 (tf_keras)
    SavedModel     TensorFlow, which needs tf_keras to know the optimizers that Keras 2 has put into it

Code in a file is not run: both are told to refuse it.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from fullint.frontends.workers.worker_protocol import Refused, sentence
else:  # a script, in an environment without fullint
    from worker_protocol import Refused, sentence

CODE = (
    "the file has a Lambda layer with Python code in it, which is not run; give module.py:function, a function that builds the "
    "model and loads its weights"
)


def keras_file(path: str) -> Any:
    """The model in a `.keras` or HDF5 file.

    Raises:
        Refused: it is no such file, needs code that is not there, or is to run code.
    """
    import tensorflow as tf

    with open(path, "rb") as f:
        start = f.read(8)
    if not (zipfile.is_zipfile(path) or start == b"\x89HDF\r\n\x1a\n"):
        raise Refused("not a Keras file: it is neither a zip archive nor HDF5, or it is truncated")
    refusals = []
    ways = (("Keras 3", tf.keras.models.load_model), ("Keras 2", _keras_2))
    for name, load in ways:
        try:
            return load(path, compile=False)
        except ImportError as e:
            refusals.append(f"{name} is not there: {sentence(e)}")
        except Exception as e:  # of any type
            if "lambda" in str(e).lower() and "arbitrary code" in str(e):
                raise Refused(CODE) from e
            refusals.append(f"{name} refuses it: {sentence(e)}")
    raise Refused(_explained(refusals))


def _keras_2(path: str, *, compile: bool) -> Any:  # noqa: A002  as Keras calls it
    import tf_keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    with SafeModeScope(True), _quantize_scope():
        return tf_keras.models.load_model(path, compile=compile)


@contextlib.contextmanager
def _quantize_scope() -> Iterator[None]:
    """The layers of quantization-aware training, where its package is installed."""
    try:
        from tensorflow_model_optimization.quantization.keras import quantize_scope
    except Exception:  # not installed, or not for this version of Keras
        yield
        return
    with quantize_scope():
        yield


def _explained(refusals: list[str]) -> str:
    """What both say, and the way out where one is known."""
    said = "; ".join(refusals)
    if "QuantizeWrapper" in said or "QuantizeLayer" in said:
        said += (
            "; it was trained with tensorflow_model_optimization: install that in the environment of `fullint setup keras`, "
            "or give module.py:function"
        )
    elif "Unknown layer" in said or "custom" in said:
        said += "; give module.py:function, a function that imports the layer and loads the model"
    return said


def saved_model(folder: str, tags: Any = None) -> Any:
    """A SavedModel as TensorFlow loads it."""
    import tensorflow as tf

    with contextlib.suppress(ImportError):
        import tf_keras  # noqa: F401  makes its optimizers known
    return tf.saved_model.load(folder, tags=tags)
