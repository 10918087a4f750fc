"""How a delegate would partition a graph: acceptance tables, and the runtime's partitioning algorithm."""

from fullint.deployment.delegates.partition import Partition, PartitionReport, Refusal, partition

__all__ = ["Partition", "PartitionReport", "Refusal", "partition"]
