"""Representative samples from any source, read one at a time.

    .npz            arrays by input or signature name, else in input order; first axis = samples; .npz:NAME chooses one
    .npy            the same for a model with one input
    folder          images, resized to the input, (pixel - mean) / std
    file.py:name    a function that yields what a TensorFlow representative_dataset yields
    Python          any iterable of arrays, tuples or dicts; an array or dict of arrays; a function

Uncompressed files are memory-mapped and compressed ones read piece by piece, so memory use does not depend on the number
of samples. Each sample is checked: shape, type, and that all values are finite.
"""

from fullint.calibration.samples.held_back import Held, split
from fullint.calibration.samples.slots import ImageOptions, Slot, slots
from fullint.calibration.samples.stream import WAYS, Reading, Samples, draw_samples, keeping_first, open_samples, synthetic

__all__ = [
    "WAYS",
    "Held",
    "ImageOptions",
    "Reading",
    "Samples",
    "Slot",
    "draw_samples",
    "keeping_first",
    "open_samples",
    "slots",
    "split",
    "synthetic",
]
