"""From representative samples to ranges: samples, probes in the model, statistics, range methods."""
