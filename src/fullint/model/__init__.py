"""The in-memory model, quantization arithmetic, and reading and writing `.tflite` files."""
