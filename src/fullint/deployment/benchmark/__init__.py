"""`benchmark`: latency and per-operator profile of models, measured on LiteRT from the Python wheel.

run         checks the options, runs the models in turns, and builds the report
session     timed runs and profiles in child processes
profile     the profiler's events as rows, matched with the model's operators
simulate    an accelerator's partitions, run on the host: results and partitions are real, times are the host's
report      the report, also in the form of benchmark_model's log
"""

from fullint.deployment.benchmark.report import BenchmarkReport, Comparison, ModelTiming, OperatorTime
from fullint.deployment.benchmark.run import benchmark

__all__ = ["BenchmarkReport", "Comparison", "ModelTiming", "OperatorTime", "benchmark"]
