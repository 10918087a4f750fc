"""Logs of TensorFlow Lite's `benchmark_model`: reading, writing and analysis.

record      the contents of a log, as values
read        text -> record, for old and new formats
delegate_lines, compilers    what delegates print of themselves; reports of compilers
write       record -> text, as the tool prints it
analysis    record (and the model) -> where the time goes, and what an all-integer model could gain
"""

from fullint.deployment.logs.analysis import readlog
from fullint.deployment.logs.read import parse_log
from fullint.deployment.logs.record import BenchLog, Delegate, LogRow, Section, Stat
from fullint.deployment.logs.report import LogReport
from fullint.deployment.logs.write import format_log

__all__ = ["BenchLog", "Delegate", "LogReport", "LogRow", "Section", "Stat", "format_log", "parse_log", "readlog"]
