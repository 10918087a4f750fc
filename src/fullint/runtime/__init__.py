"""Running models: worker processes, LiteRT's interpreter, and LiteRT's C API."""
