"""The in-memory model, its arithmetic, and the way to and from `.tflite` files."""
