"""Inputs like speech for three of the public networks, since random numbers do not tell what 8 bits cost them.

    FULLINT_CORPUS=FOLDER python tools/speech_inputs.py OUT

writes OUT/NAME_cal.npz and NAME_test.npz, one array per input of the network, in its order, and NAME_y.npy where there are
labels.

kwt_non_stream takes a second of sound. The corpus has keywords as cepstra: they are turned back into the spectra that they
describe, and a voice (a buzz whose pitch falls) or a whisper (noise) is shaped by these. Much is lost, yet the network knows
many of the words again. litert_torchaudio_conformer takes spectra of 80 bands, ten utterances at a time with a mask of what is
padding; the same spectra are put one behind the other, with pauses, and standardised. oww_hey_jarvis takes 16 embeddings of
speech, which nothing here can make: smooth walks between a few sounds, as large as embeddings are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

RATE = 16000
CALIBRATION, TEST = 200, 300
BATCHES = 40, 20
"""Samples for the conformer: each is ten utterances."""
MEL_BINS, TOP_HZ = 40, 4000.0
"""Of the corpus's cepstra: 30 ms every 20 ms, ten coefficients of the logarithms of 40 bands up to 4 kHz."""
WORDS = "down go left no off on right stop up yes silence unknown".split()
KWT_WORDS = "silence unknown yes no up down left right on off stop go".split()
FRAMES, UTTERANCES, BANDS = 335, 10, 80


def mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127 * np.log1p(np.asarray(hz) / 700)


def log_spectra(cepstra: np.ndarray) -> np.ndarray:
    """Cepstra [n, 49, 10] -> logarithms of energies of mel bands [n, 49, 40]."""
    k, bin_ = np.arange(cepstra.shape[-1]), np.arange(MEL_BINS)
    basis = np.cos(np.pi / MEL_BINS * (bin_[None] + 0.5) * k[:, None]) * np.where(k == 0, 0.5, 1)[:, None]
    return cepstra @ basis * np.sqrt(2 / MEL_BINS)


def at_places(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Along the first axis, between neighbours in proportion."""
    places = np.clip(places, 0, len(values) - 1)
    low = np.minimum(places.astype(int), len(values) - 2)
    part = (places - low)[:, None]
    return values[low] * (1 - part) + values[low + 1] * part


def spoken(spectrum: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sound of one second that has the spectrum [49, 40]."""
    size, hop = 512, 128
    hz = np.fft.rfftfreq(size, 1 / RATE)
    bin_ = (mel(hz) - mel(20.0)) / (mel(TOP_HZ) - mel(20.0)) * (MEL_BINS + 1) - 1
    fall = np.clip((hz - TOP_HZ) / 1000, 0, None)  # what lies above is not known: it falls
    pitch = random.uniform(90, 230) * np.exp(np.linspace(0.1, -0.2, RATE))
    phase = np.cumsum(pitch) / RATE
    voice = np.diff(np.floor(phase), prepend=0) * np.sqrt(RATE / pitch)
    noise = random.standard_normal(RATE)
    sound, weight = np.zeros(RATE + size), np.zeros(RATE + size)
    window = np.hanning(size)
    for start in range(0, RATE, hop):
        here = at_places(spectrum, np.array([(start - 240) / 320]))[0]
        low, high = here[:20].mean(), here[20:].mean()
        voiced = 1 / (1 + np.exp(-(low - high - 0.5)))
        source = np.zeros(size)
        piece = slice(start, min(start + size, RATE))
        source[: piece.stop - start] = voiced * voice[piece] + (1 - 0.7 * voiced) * noise[piece]
        magnitude = np.exp(at_places(here[:, None], bin_)[:, 0]) * np.exp(-fall)
        sound[start : start + size] += np.fft.irfft(np.fft.rfft(source * window) * magnitude, size) * window
        weight[start : start + size] += window**2
    sound = sound[:RATE] / np.maximum(weight[:RATE], 1e-3)
    return sound / max(np.abs(sound).max(), 1e-9)


def keywords(cepstra: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sounds [n, 16000], labels in the order of the network)."""
    random = np.random.default_rng(1)
    sounds = []
    for spectrum, label in zip(log_spectra(cepstra), labels, strict=True):
        quiet = WORDS[label] == "silence"
        level = 10 ** (random.uniform(-3, -1.5) if quiet else random.uniform(-1, 0))
        sounds.append(spoken(spectrum, random) * level)
    return np.array(sounds, np.float32), np.array([KWT_WORDS.index(WORDS[k]) for k in labels])


def utterances(cepstra: np.ndarray, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(spectra [count, 335, 10, 80], mask [count, 10, 335], true: padding)."""
    spectra = log_spectra(cepstra)
    x = np.zeros((count, FRAMES, UTTERANCES, BANDS), np.float32)
    mask = np.zeros((count, UTTERANCES, FRAMES), bool)
    places = np.linspace(0, MEL_BINS - 1, BANDS)
    for i in range(count):
        for j in range(UTTERANCES):
            words = []
            for k in random.integers(0, len(spectra), 5):
                faster = np.arange(0, 48, random.uniform(0.45, 0.8))
                words += [at_places(spectra[k], faster), np.full((random.integers(2, 15), MEL_BINS), spectra[k].min())]
            frames = np.maximum(np.concatenate(words)[:FRAMES], -16)
            frames = at_places(frames.T, places).T
            frames += random.standard_normal(frames.shape) * 0.4  # what smoothing by ten coefficients took away
            length = min(FRAMES if j == 0 else int(random.integers(120, FRAMES + 1)), len(frames))
            frames = (frames[:length] - frames[:length].mean(0)) / (frames[:length].std(0) + 1e-3)
            x[i, :length, j], mask[i, j, length:] = frames, True
    return x, mask


def embeddings(count: int, random: np.random.Generator) -> np.ndarray:
    """[count, 16, 96]: walks between sounds; most channels are small, a few are large."""
    sounds = np.random.default_rng(5).standard_normal((12, 96)) * np.random.default_rng(6).lognormal(2, 0.6, 96)
    x = np.zeros((count, 16, 96), np.float32)
    for one in x:
        path = np.cumsum(random.uniform(0.2, 0.8, 16))
        stops = sounds[random.integers(0, len(sounds), 16)]
        one[:] = at_places(stops, path) + random.standard_normal((16, 96)) * 2
    return x


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with np.load(Path(os.environ["FULLINT_CORPUS"], "data", "kws_mfcc_1000.npz")) as kws:
        cepstra, labels = kws["x"][..., 0].astype(np.float64), kws["labels"]
    last = CALIBRATION + TEST
    sounds, words = keywords(cepstra[:last], labels[:last])
    np.savez(out / "kwt_non_stream_cal.npz", x=sounds[:CALIBRATION])
    np.savez(out / "kwt_non_stream_test.npz", x=sounds[CALIBRATION:])
    np.save(out / "kwt_non_stream_y.npy", words[CALIBRATION:])
    for part, some, count, seed in zip(("cal", "test"), (cepstra[:500], cepstra[500:]), BATCHES, (1, 2), strict=True):
        x, mask = utterances(some, count, np.random.default_rng(seed))
        np.savez(out / f"litert_torchaudio_conformer_{part}.npz", x=x, mask=mask)
    for part, count, seed in (("cal", CALIBRATION, 3), ("test", TEST, 4)):
        np.savez(out / f"oww_hey_jarvis_v0_1_{part}.npz", x=embeddings(count, np.random.default_rng(seed)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
