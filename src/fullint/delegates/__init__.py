"""How a delegate would cut a graph: acceptance tables, and the runtime's own algorithm."""

from fullint.delegates.report import Partition, PartitionReport, Refusal, partition

__all__ = ["Partition", "PartitionReport", "Refusal", "partition"]
