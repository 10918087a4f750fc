"""The options of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """The options of `benchmark`, under the same names."""

    kernels: str
    num_threads: int
    num_runs: int
    min_secs: float
    max_secs: float
    warmup_runs: int
    warmup_min_secs: float
    run_delay: float
    inputs: Any
    enable_op_profiling: bool
    simulate: str | None
    nnapi_accelerator_name: str | None
    external_delegate_path: str | None
    external_delegate_options: dict[str, str]

    @property
    def plays_nnapi(self) -> bool:
        """Whether NNAPI is simulated."""
        return (self.simulate or "").startswith("nnapi")
