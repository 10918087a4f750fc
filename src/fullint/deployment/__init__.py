"""Where a model runs: delegates and devices, latency and profiles, logs of `benchmark_model`."""
