"""Every choice a user has, said once (`choices`), how it is spelled (`flags`), and how a report repeats it (`reported`)."""

from fullint.options.choices import ConvertOptions, QuantizeOptions, RepairOptions, RunOptions
from fullint.options.flags import Flag, flag_of, takes
from fullint.options.of_samples import ModelOptions, Progress, SampleOptions, numbers
from fullint.options.reported import model_name, reported

__all__ = [
    "ConvertOptions",
    "Flag",
    "ModelOptions",
    "Progress",
    "QuantizeOptions",
    "RepairOptions",
    "RunOptions",
    "SampleOptions",
    "flag_of",
    "model_name",
    "numbers",
    "reported",
    "takes",
]
