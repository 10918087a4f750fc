"""Every choice a user has, said once (`choices`), how it is spelled (`flags`), and how a report repeats it (`reported`)."""

from fullint.options.choices import ConvertOptions, QuantizeOptions, RunOptions, recipe_of_run, with_recipe
from fullint.options.flags import Flag, flag_of, takes
from fullint.options.of_calibration import CalibrateOptions
from fullint.options.of_repair import RepairOptions
from fullint.options.of_samples import ModelOptions, Progress, SampleOptions, numbers
from fullint.options.of_sensitivity import SensitivityOptions
from fullint.options.recipes import Recipe, RecipeRule
from fullint.options.reported import model_name, reported

__all__ = [
    "CalibrateOptions",
    "ConvertOptions",
    "Flag",
    "ModelOptions",
    "Progress",
    "QuantizeOptions",
    "Recipe",
    "RecipeRule",
    "RepairOptions",
    "RunOptions",
    "SampleOptions",
    "SensitivityOptions",
    "flag_of",
    "model_name",
    "numbers",
    "recipe_of_run",
    "reported",
    "takes",
    "with_recipe",
]
