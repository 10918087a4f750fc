"""Logs of TensorFlow Lite's `benchmark_model`: read, written, and what they say.

record      what a log holds, as values
read        text -> record, old and new forms
write       record -> text, as the tool prints it
analysis    record (and the model) -> where the time goes, and what integer-only could gain
"""

from fullint.deployment.logs.analysis import LogReport, readlog
from fullint.deployment.logs.read import parse_log
from fullint.deployment.logs.record import BenchLog, Delegate, LogRow, Section, Stat
from fullint.deployment.logs.write import format_log

__all__ = ["BenchLog", "Delegate", "LogReport", "LogRow", "Section", "Stat", "format_log", "parse_log", "readlog"]
