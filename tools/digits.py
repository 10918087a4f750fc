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
