"""Everything that runs a model: worker processes, the interpreter, LiteRT's C API."""
