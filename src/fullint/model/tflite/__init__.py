"""The `.tflite` format: `read` turns bytes into a `Model`, `write` turns a `Model` into bytes."""

from fullint.model.tflite.external import internalise
from fullint.model.tflite.read import is_tflite, mappings, read_bytes, read_model
from fullint.model.tflite.write import write_file, write_model

__all__ = ["internalise", "is_tflite", "mappings", "read_bytes", "read_model", "write_file", "write_model"]
