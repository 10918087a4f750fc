"""Pictures with several digits on them, and how well a detector finds these: the data and the measure of `detector/`.

    pictures, truths = canvases(images, labels, 200, seed=1)
    average_precision([network(x) for x in pictures], truths)

A detector says, for each cell of a grid, one box (left, top, right, bottom) and ten scores, side by side in one output
[1, cells, 4 + 10]. Boxes are in pixels of a picture of `FRAME` by `FRAME`, as detectors have them that were made for
photographs; scores go from 0 to 1. tools/train_detector.py trains on the same canvases, of other digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIDE, FRAME = 48, 640
"""Pixels of a canvas, and of the picture that boxes are said in."""
CLASSES = 10
SMALLEST, LARGEST = 12, 20
"""Pixels of a digit on a canvas; height and width are drawn apart."""
MOST = 3
"""Digits on a canvas; one at least."""
TRIES = 20
"""Places tried for them."""
NOISE = 0.15
FAINTEST = 0.05
"""Scores below it are no find."""
SAME = 0.5
"""Overlap (intersection over union) from which on two boxes are about the same digit."""


def canvases(images: np.ndarray, labels: np.ndarray | None, count: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Digits enlarged, put on noise where they do not touch each other.

    Args:
        images: [N, 8, 8, 1], 0 to 1.
        labels: [N]; without them, as for calibration, all digits are called 0.

    Returns:
        Canvases float32 [SIDE, SIDE, 1], 0 to 1, and what is on each: float32 [digits, 5], boxes and labels.
    """
    rng = np.random.default_rng(seed)
    pictures, truths = [], []
    for _ in range(count):
        picture = rng.uniform(0, NOISE, (SIDE, SIDE)).astype(np.float32)
        truth: list[list[float]] = []
        wanted = rng.integers(1, MOST + 1)
        for _ in range(TRIES):
            if len(truth) == wanted:
                break
            width, height = (int(n) for n in rng.integers(SMALLEST, LARGEST + 1, 2))
            left, top = int(rng.integers(SIDE - width + 1)), int(rng.integers(SIDE - height + 1))
            right, bottom = left + width, top + height
            chosen = int(rng.integers(len(images)))
            if any(left < t[2] and t[0] < right and top < t[3] and t[1] < bottom for t in truth):
                continue
            digit = images[chosen, :, :, 0][np.arange(height) * 8 // height][:, np.arange(width) * 8 // width]
            place = picture[top:bottom, left:right]
            np.maximum(place, digit, out=place)
            truth.append([left, top, right, bottom, 0 if labels is None else int(labels[chosen])])
        pictures.append(picture[..., None])
        truths.append(np.array(truth, np.float32) * np.float32([FRAME / SIDE] * 4 + [1]))
    return pictures, truths


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with others [n, 4]."""
    inner = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(inner, 0, None).prod(1)
    own, theirs = np.clip(box[2:] - box[:2], 0, None).prod(), np.clip(others[:, 2:] - others[:, :2], 0, None).prod(1)
    return shared / np.maximum(own + theirs - shared, 1e-9)


def decode(output: np.ndarray) -> list[np.ndarray]:
    """What an output [1, cells, 4 + CLASSES] finds of each class: [finds, 5], boxes and scores, the surest first.

    A box that overlaps a surer one of its class is left out.
    """
    boxes, scores = np.split(output.reshape(-1, 4 + CLASSES), [4], axis=1)
    found = []
    for score in scores.T:
        kept: list[int] = []
        for i in np.argsort(-score, kind="stable"):
            if score[i] >= FAINTEST and not (overlaps(boxes[i], boxes[kept]) >= SAME).any():
                kept.append(int(i))
        found.append(np.column_stack([boxes[kept], score[kept]]))
    return found


def average_precision(outputs: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
    """Mean over the classes of the area under precision against recall; a find needs an overlap of `SAME`."""
    finds = [decode(output) for output in outputs]
    return float(np.mean([_of_class(label, [f[label] for f in finds], truths) for label in range(CLASSES)]))


def _of_class(label: int, finds: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
    scores, right = [], []
    wanted = [truth[truth[:, 4] == label, :4] for truth in truths]
    for found, boxes in zip(finds, wanted, strict=True):
        free = np.ones(len(boxes), bool)
        for find in found:
            fits = np.where(free, overlaps(find[:4], boxes), 0)
            hit = bool(fits.max(initial=0) >= SAME)
            if hit:
                free[fits.argmax()] = False
            scores.append(find[4])
            right.append(hit)
    hits = np.cumsum(np.array(right, float)[np.argsort(-np.array(scores), kind="stable")])
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best @ np.diff(hits, prepend=0)) / max(sum(map(len, wanted)), 1)
