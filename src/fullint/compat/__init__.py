"""TensorFlow Lite's converter as a drop-in import: `from fullint.compat import TFLiteConverter`.

The rest of the user's script stays unchanged. TensorFlow makes the float model, fullint makes it all integer. TensorFlow is
imported only when one of its models is given; `Optimize`, `OpsSet` and `TargetSpec` are also provided here, for scripts
that do not import TensorFlow.
"""

from fullint.compat.attributes import OpsSet, Optimize, TargetSpec
from fullint.compat.converter import TFLiteConverter
from fullint.compat.debugger import QuantizationDebugger, QuantizationDebugOptions

__all__ = ["OpsSet", "Optimize", "QuantizationDebugOptions", "QuantizationDebugger", "TFLiteConverter", "TargetSpec"]
