"""Where the time goes: latency and the real per-operator profile of models, on LiteRT from the wheel.

measure     loops and profiles in child processes, several models in turns
profile     the profiler's events as rows, joined with the model's operators
simulate    an accelerator's cuts, played on the host: numerics and cuts are real, acceleration is not
report      what `benchmark` tells, and the same as a log of benchmark_model
"""

from fullint.deployment.benchmark.report import BenchmarkReport, Comparison, ModelTiming, OperatorTime
from fullint.deployment.benchmark.run import benchmark

__all__ = ["BenchmarkReport", "Comparison", "ModelTiming", "OperatorTime", "benchmark"]
