"""The releases of LiteRT that fullint was tested with, and the one that is installed."""

from __future__ import annotations

import importlib.metadata

PACKAGE = "ai-edge-litert"
OLDEST, NEWEST = (2, 1), (2, 3)
"""As the dependency in pyproject.toml has it."""
TESTED = "{}.{} to {}.{}".format(*OLDEST, *NEWEST)


def installed() -> str:
    """The installed release, "2.3.0"; "" where there is none."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return ""


def numbers(release: str) -> tuple[int, ...]:
    """The first two numbers of a release."""
    return tuple(int(n) for n in release.split(".")[:2] if n.isdecimal())


def untested() -> tuple[str, ...]:
    """A warning where the installed release is none that was tested."""
    release = installed()
    if not release or OLDEST <= numbers(release) <= NEWEST:
        return ()
    return (f"{PACKAGE} {release} is installed; fullint was tested with {TESTED}: kernels may compute something else",)
