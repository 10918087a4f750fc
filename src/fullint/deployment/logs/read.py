"""Parse a `benchmark_model` log, old format (TensorFlow Lite 2.5 and later, or earlier with a [start] column) or new.

Lines may have a prefix ("INFO: ", "VERBOSE: ", a date). Unknown lines are skipped; an incomplete table is an error that
gives the line number.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fullint.deployment.logs.record import INIT, INTERNAL, RUN, SIMULATED, BenchLog, Delegate, LogRow, Section, Stat
from fullint.errors import LogFormatError
from fullint.files import check_name, unreadable
from fullint.printable import one_line

_STYLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
MOST_LOG_BYTES = 100_000_000
_NUMBER = r"(-?\d{1,18}(?:\.\d+)?(?:e[+-]?\d{1,2})?)"
_REPLACING = re.compile(
    r"Replacing (\d{1,9})(?: out of (\d{1,9}))? node\(s\) with delegate \((.*?)\) node, yielding (\d{1,9}) partitions"
    r"(?: for subgraph (\d{1,9}))?"
)
_PARAMETER = re.compile(r"^(?:INFO: )?([A-Z][^:\[\]]*): \[(.*)\]$")
_STAT = re.compile(r"count=(\d{1,18})((?: [a-z]\w*=\S+)*)")
_TIMINGS = re.compile(r"(?:Average i|I)nference timings in us: (.*)$")
_MARK = f" ({SIMULATED})"
_VERBOSELY = "Log parameter values verbosely"
_NAMED = {
    "Init": "init_us",
    "First inference": "first_us",
    "Warmup (avg)": "warmup_us",
    "Warmup": "warmup_us",
    "Inference (avg)": "inference_us",
    "Inference": "inference_us",
}
_FIGURES = (
    (re.compile(rf"The input model file size \(MB\): {_NUMBER}"), "model_mb"),
    (re.compile(rf"Initialized session in {_NUMBER}ms"), "init_ms"),
    (re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}"), "peak_mb"),
)
_MEMORY = re.compile(rf"Memory footprint delta from the start of the tool \(MB\): init={_NUMBER} overall={_NUMBER}")
_NOTES = re.compile(r"(Explicitly applied .*|Though \S+ delegate is explicitly applied.*)")
_COLUMNS = {"[first]": "first_ms", "[avg ms]": "avg_ms", "[%]": "percent", "[cdf%]": "cdf", "[mem KB]": "mem_kb"}


def parse_log(text: str) -> BenchLog:
    """Parse the text of a log.

    Raises:
        LogFormatError: it is not a log of benchmark_model, or a table in it is broken; the message gives the line number.
    """
    return _Reader(text).run()


def read_log(path: str | Path) -> BenchLog:
    """Parse a log file.

    Raises:
        LogFormatError: as in `parse_log`, or the file cannot be read.
    """
    check_name(path)
    if (why := unreadable(path)) is not None:
        raise LogFormatError(why)
    try:
        if Path(path).stat().st_size > MOST_LOG_BYTES:
            raise LogFormatError(f"{path}: not a log of benchmark_model: it has more than {MOST_LOG_BYTES:,} bytes")
        text = _decoded(Path(path).read_bytes())
    except OSError as e:
        raise LogFormatError(f"{path}: cannot be read: {e.strerror}") from e
    try:
        return parse_log(text)
    except LogFormatError as e:
        raise LogFormatError(f"{path}: {e}") from e


class _Reader:
    """Parses a log in one pass over its lines."""

    def __init__(self, text: str) -> None:
        self.lines = [(i, line.removesuffix(_MARK)) for i, line in enumerate(text.splitlines(), 1)]
        self.at = 0
        self.found: dict[str, Any] = {}
        self.simulated = SIMULATED in text
        self.parameters: list[tuple[str, str]] = []
        self.delegates: list[Delegate] = []
        self.notes: list[str] = []
        self.sections: list[Section] = []
        self.stats: list[Stat] = []
        self.kind, self.title = "", ""

    def run(self) -> BenchLog:
        """Parse all lines and return the record."""
        for number, line in self._each():
            self._line(number, line)
        if not self.found and not self.sections and not self.stats and not self.delegates:
            raise LogFormatError("line 1: this is not a log of benchmark_model: no line of it is recognised")
        for name, stat in zip(("warmup", "runs") if len(self.stats) > 1 else ("runs",), self.stats, strict=False):
            self.found[name] = stat
        return BenchLog(
            parameters=tuple(self.parameters),
            notes=tuple(self.notes),
            delegates=tuple(self.delegates),
            sections=tuple(self.sections),
            simulated=self.simulated,
            **self.found,
        )

    def _each(self) -> Iterator[tuple[int, str]]:
        while self.at < len(self.lines):
            self.at += 1
            yield self.lines[self.at - 1]

    def _line(self, number: int, line: str) -> None:
        if self._heading(line) or self._figures(number, line):
            return
        if (m := _REPLACING.search(line)) is not None and not line.startswith(SIMULATED):
            nodes, of, name, partitions, subgraph = m.groups()
            self.delegates.append(Delegate(name, int(nodes), int(partitions), _int(of), _int(subgraph)))
        elif SIMULATED in line:
            self.notes.append(line)
        elif (m := _NOTES.search(line)) is not None:
            self.notes.append(m[1])
        elif (m := _STAT.match(line)) is not None:
            self.stats.append(_stat(number, m))
        elif (m := _PARAMETER.match(line)) is not None:
            if m[1] != _VERBOSELY:
                self.parameters.append((m[1], m[2]))
            if m[1] == "Graph":
                self.found["graph"] = m[2]
        elif "= Run Order =" in line:
            self._table(number)

    def _heading(self, line: str) -> bool:
        for text, kind in (
            ("Profiling Info for Benchmark Initialization", INIT),
            ("Operator-wise Profiling Info for Regular Benchmark Runs", RUN),
            ("Delegate internal", INTERNAL),
        ):
            if text in line:
                self.kind, self.title = kind, ""
                return True
        if self.kind and re.match(r"(Primary graph|Subgraph) \(.*profile:", line):
            self.title = line.strip()
            return True
        return False

    def _figures(self, number: int, line: str) -> bool:
        for pattern, name in _FIGURES:
            if (m := pattern.search(line)) is not None:
                self.found[name] = float(m[1])
                return True
        if (m := _MEMORY.search(line)) is not None:
            self.found["memory_init_mb"], self.found["memory_mb"] = float(m[1]), float(m[2])
            return True
        if (m := _TIMINGS.search(line)) is not None:
            for part in m[1].split(", "):
                label, _, value = part.partition(": ")
                if label not in _NAMED or not re.fullmatch(_NUMBER, value):
                    raise LogFormatError(f'line {number}: "{part}" is not a timing')
                self.found[_NAMED[label]] = float(value)
            return True
        return False

    def _table(self, number: int) -> None:
        """Parse a profile in run order, and the statistics after its tables."""
        if self.at >= len(self.lines):
            raise LogFormatError(f"line {number}: the log ends after the title of a table")
        at, header = self.lines[self.at]
        columns = [c.strip() for c in header.split("\t")[1:]]
        if missing := [c for c in (*_COLUMNS, "[times called]") if c not in columns]:
            raise LogFormatError(f"line {at}: expected the header of a profile; it has no column {', '.join(missing)}")
        self.at += 1
        rows = []
        while self.at < len(self.lines) and self.lines[self.at][1].strip():
            at, line = self.lines[self.at]
            rows.append(_row(at, line, columns))
            self.at += 1
        self.sections.append(Section(self.kind or RUN, tuple(rows), self._timings(), self.title))

    def _timings(self) -> Stat | None:
        """Find the line of statistics after a section's tables, skipping tables that repeat its rows in another order."""
        while self.at < len(self.lines):
            number, line = self.lines[self.at]
            if "= Run Order =" in line or "Profiling Info" in line or "Delegate internal" in line:
                return None
            self.at += 1
            if (m := re.match(r"Timings \(microseconds\): (count=.*)", line)) is not None:
                found = _STAT.match(m[1])
                if found is None:
                    expected = "benchmark_model prints count=… first=… curr=… min=…"
                    raise LogFormatError(f'line {number}: cannot parse the timing statistics "{m[1][:60]}"; {expected}')
                return _stat(number, found)
        return None


def _decoded(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 if there is a byte order mark (PowerShell writes UTF-16); a terminal's colours are left out."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = _STYLE.sub("", data.decode("utf-16" if wide else "utf-8-sig", errors="replace"))
    return "\n".join("\t".join(map(one_line, line.split("\t"))) for line in text.splitlines())


def _row(number: int, line: str, columns: list[str]) -> LogRow:
    cells = line.split("\t")[1:]
    if len(cells) < len(columns):
        raise LogFormatError(f"line {number}: the table has {len(columns)} columns, but this row has {len(cells)}")
    values = dict(zip(columns, cells, strict=False))
    values["[Name]"] = "\t".join(cells[len(columns) - 1 :])
    try:
        figures = {field: float(values[c].strip().rstrip("%")) for c, field in _COLUMNS.items()}
        calls = int(values["[times called]"])
    except ValueError as e:
        raise LogFormatError(f"line {number}: expected a number in a row of the profile ({e})") from e
    if calls < 0 or not all(math.isfinite(v) for v in figures.values()):
        raise LogFormatError(f"line {number}: a row of the profile has an invalid time or count")
    return LogRow(node_type=values[columns[0]].strip(), name=values["[Name]"], times_called=calls, **figures)


def _stat(number: int, m: re.Match[str]) -> Stat:
    values = {}
    for part in m[2].split():
        name, _, value = part.partition("=")
        try:
            values[name] = float(value)
        except ValueError as e:
            raise LogFormatError(f'line {number}: "{part}" is not a number') from e
    return Stat(int(m[1]), values)


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)
