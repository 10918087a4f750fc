"""Every choice a user has, said once (`choices`), how it is spelled (`flags`), and how a report repeats it (`reported`)."""

from fullint.options.choices import ConvertOptions, ModelOptions, Progress, QuantizeOptions, RepairOptions, RunOptions, numbers
from fullint.options.flags import Flag, flag_of, takes
from fullint.options.reported import model_name, reported

__all__ = [
    "ConvertOptions",
    "Flag",
    "ModelOptions",
    "Progress",
    "QuantizeOptions",
    "RepairOptions",
    "RunOptions",
    "flag_of",
    "model_name",
    "numbers",
    "reported",
    "takes",
]
