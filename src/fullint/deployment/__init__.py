"""Where a model runs: delegates and devices, latency and profiles, the logs of benchmark_model."""
