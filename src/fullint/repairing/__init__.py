"""Half-quantized and faulty files made all integer, from the file alone where it says enough.

Named after what it does, since `fullint.repair` is the call.
"""
