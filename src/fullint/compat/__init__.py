"""TensorFlow Lite's converter as an import: `from fullint.compat import TFLiteConverter`.

The script that a user has stays as it is. TensorFlow makes the float model, fullint makes it all integer. TensorFlow is only
imported where its models are given; `Optimize`, `OpsSet` and `TargetSpec` are here for those who do without.
"""

from fullint.compat.attributes import OpsSet, Optimize, TargetSpec
from fullint.compat.converter import TFLiteConverter

__all__ = ["OpsSet", "Optimize", "TFLiteConverter", "TargetSpec"]
