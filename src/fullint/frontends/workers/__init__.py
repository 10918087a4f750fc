"""Scripts that run where a framework is installed and convert its model to a float `.tflite`.

They do not import fullint; `tensorflow_float` is also imported by `fullint.compat`, where TensorFlow is loaded. They write:

    0.tflite      the float model
    check.npz     one sample (input0, ...) and the framework's outputs for it (output0, ...)
    facts.json    names of inputs and outputs, in the original and in the `.tflite`'s signature; versions
"""
