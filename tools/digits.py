"""The handwritten digits that the trained networks of the demo and the tests learn from: scikit-learn's, in one fixed order.

images float32 [1797, 8, 8, 1], 0 to 1; labels int64. The last `TEST` are for tests; nothing trains or calibrates on them.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

TEST = 597


def shuffled() -> tuple[np.ndarray, np.ndarray]:
    """(images, labels)."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    return (digits.images / 16).astype(np.float32)[order][..., None], digits.target.astype(np.int64)[order]


def shortened(images: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows [n, 8, 8], mask [n, 8]): up to three rows of each picture left out, the others moved up; where no row is left, 0."""
    random = np.random.default_rng(seed)
    rows, mask = np.zeros((len(images), 8, 8), np.float32), np.zeros((len(images), 8), np.float32)
    for i, image in enumerate(images[..., 0]):
        kept = np.sort(random.permutation(8)[random.integers(0, 4) :])
        rows[i, : len(kept)], mask[i, : len(kept)] = image[kept], 1
    return rows, mask
