"""`repair`: make half-quantized and faulty files all integer, without the float model and, where possible, without samples.

The package is called `repairing` because `fullint.repair` is the function.
"""
