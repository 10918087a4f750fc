"""How a delegate would cut a graph: acceptance tables, and the runtime's own algorithm."""

from fullint.deployment.delegates.partition import Partition, PartitionReport, Refusal, partition

__all__ = ["Partition", "PartitionReport", "Refusal", "partition"]
