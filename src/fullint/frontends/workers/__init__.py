"""Programs that run where a framework is installed: a model of the framework in, a float `.tflite` out.

Each is a script that needs nothing of fullint; `tensorflow_float` is also imported by `fullint.compat`, whose user has
TensorFlow loaded. What they write:

    0.tflite      the float model
    check.npz     one random sample (input0, ...) and what the framework itself makes of it (output0, ...)
    facts.json    names of inputs and outputs: the user's, and those in the `.tflite`'s signature; versions
"""
