"""Parse a `benchmark_model` log, old format (TensorFlow Lite 2.5 and later, or earlier with a [start] column) or new.

Lines may have a prefix ("INFO: ", "VERBOSE: ", a date). Unknown lines are skipped; an incomplete table is an error that
gives the line number.
"""

from __future__ import annotations

import codecs
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fullint.deployment.logs.delegate_lines import DelegateLines
from fullint.deployment.logs.record import INIT, INTERNAL, RUN, SIMULATED, BenchLog, Delegate, LogRow, Section, Stat
from fullint.errors import LogFormatError
from fullint.files import check_name, unreadable
from fullint.printable import one_line

_STYLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
MOST_LOG_BYTES = 100_000_000
LARGE = 1_000_000
"""Bytes from which on a file is searched for the part that is a log."""
MARKS = (
    b"count=",
    b"node(s) with delegate",
    b"timings in us",
    b"Graph: [",
    b"GPU delegate",
    b"Edge TPU Compiler",
    b"Network summary for",
    b"= Run Order =",
)
"""What every log has something of."""
NO_LOG = "this is not a log of benchmark_model, nor a report of edgetpu_compiler or Vela: no line of it is recognised"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NUMBER = r"(-?\d{1,18}(?:\.\d+)?(?:e[+-]?\d{1,2})?)"
_REPLACING = re.compile(
    r"Replacing (\d{1,9})(?: out of (\d{1,9}))? node\(s\) with delegate \((.*?)\) node, yielding (\d{1,9}) partitions"
    r"(?: for subgraph (\d{1,9}))?"
)
_PARAMETER = re.compile(r"^(?:INFO: )?([A-Z][^:\[\]]*): \[(.*)\]$")
_STAT = re.compile(r"count=(\d{1,18})(?!\d)((?: [a-z]\w*=\S+)*)")
_TIMINGS = re.compile(
    r"(?:Average i|I)nference timings in us: (.*?)(?: Overall max resident set size = (\d{1,9}(?:\.\d+)?) MB.*)?$"
)
_LOGCAT = re.compile(
    r"^(?:\d{4}-)?\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}\s+"
    r"(?:\d+\s+\d+\s+([VDIWEF]) [^:]*?: ?|\d+-\d+/\S*\s+([VDIWEF])/[^:]*?: ?)"
)
"""What Android's logcat puts before a line, in its forms of old and of today."""
_LEVELS = {"E": "ERROR: ", "W": "WARNING: "}
_START = "STARTING!"
_DAMAGED = (
    (re.compile(r"Replacing \d|node\(s\) with d"), "what a delegate took"),
    (re.compile(r"^count="), "statistics of the runs"),
    (re.compile(r"nference timings in us"), "the timings"),
)
"""How lines begin, or what is in them, that say something, and what; they were not read in another way."""
MOST_UNREAD = 5
MOST_BAD = 0.4
"""Share of a table's rows that may be damaged."""
_TODAY = ("[node type]", "[first]", "[avg ms]", "[%]", "[cdf%]", "[mem KB]", "[times called]", "[Name]")
_FORMS = (_TODAY, (_TODAY[0], "[start]", *_TODAY[1:]))
"""The columns of a profile, today's and those of old."""
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
    """Parse the text of a log; of several runs, the first.

    Raises:
        LogFormatError: it is not a log of benchmark_model, or a table in it is broken; the message gives the line number.
    """
    return parse_runs(text)[0]


def parse_runs(text: str) -> list[BenchLog]:
    """Parse the text of one or several logs behind each other.

    Raises:
        LogFormatError: as in `parse_log`.
    """
    lines = [(i, _LOGCAT.sub(_level, line).removeprefix("INFO: ")) for i, line in enumerate(text.splitlines(), 1)]
    starts = [at for at, (_, line) in enumerate(lines) if line.strip().endswith(_START)]
    borders = [0, *starts[1:], len(lines)]
    return [_Reader(lines[a:b]).run() for a, b in itertools.pairwise(borders)]


def _level(m: re.Match[str]) -> str:
    return _LEVELS.get(m[1] or m[2], "")


def read_text(path: str | Path) -> str:
    """The text of a log file; of one that is mostly something else, the part from the first line of a log on.

    Raises:
        LogFormatError: it cannot be read, is too large, or is no log.
    """
    check_name(path)
    if (why := unreadable(path)) is not None:
        raise LogFormatError(why)
    try:
        if Path(path).stat().st_size > MOST_LOG_BYTES:
            raise LogFormatError(f"{path}: not a log of benchmark_model: it has more than {MOST_LOG_BYTES:,} bytes")
        data = Path(path).read_bytes()
    except OSError as e:
        raise LogFormatError(f"{path}: cannot be read: {e.strerror}") from e
    if len(data) > LARGE and not data.startswith(_WIDE):
        marks = [at for mark in MARKS if (at := data.find(mark)) >= 0]
        if not marks:
            raise LogFormatError(f"{path}: line 1: {NO_LOG}")
        last = max(data.rfind(mark) for mark in MARKS)
        data = data[data.rfind(b"\n", 0, min(marks)) + 1 : last + LARGE]
    return _decoded(data)


class _Reader:
    """Parses a log in one pass over its lines."""

    def __init__(self, lines: Sequence[tuple[int, str]]) -> None:
        self.lines = [(i, line.removesuffix(_MARK)) for i, line in lines]
        self.at = 0
        self.found: dict[str, Any] = {}
        self.simulated = any(SIMULATED in line for _, line in lines)
        self.said = DelegateLines()
        self.unread: list[str] = []
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
        said = self.said.result()
        if not (self.found or self.sections or self.stats or self.delegates or said):
            raise LogFormatError(f"line {self.lines[0][0] if self.lines else 1}: {NO_LOG}")
        for name, stat in zip(("warmup", "runs") if len(self.stats) > 1 else ("runs",), self.stats, strict=False):
            self.found[name] = stat
        return BenchLog(
            parameters=tuple(self.parameters),
            notes=tuple(self.notes),
            delegates=tuple(self.delegates),
            sections=tuple(self.sections),
            simulated=self.simulated,
            said=said,
            unread=tuple(self.unread),
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
            self.said.replaced(self.delegates[-1])
        elif SIMULATED in line:
            self.notes.append(line)
        elif self.said.line(line):
            if (m := _NOTES.search(line)) is not None:
                self.notes.append(m[1])
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
        else:
            self._look_at(number, line)

    def _look_at(self, number: int, line: str) -> None:
        """Name a line that should say something and does not."""
        for pattern, what in _DAMAGED:
            if pattern.search(line) is not None:
                self._note(number, what, line)

    def _note(self, number: int, what: str, line: str) -> None:
        if len(self.unread) < MOST_UNREAD:
            self.unread.append(f"line {number} is damaged, and not read for {what}: {line.strip()[:60]}")

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
            if m[2] is not None:
                self.found["memory_mb"] = float(m[2])
            return True
        return False

    def _table(self, number: int) -> None:
        """Parse a profile in run order, and the statistics after its tables."""
        if self.at >= len(self.lines):
            raise LogFormatError(f"line {number}: the log ends after the title of a table")
        at, header = self.lines[self.at]
        columns = [c.strip() for c in header.split("\t")[1:]]
        if missing := [c for c in (*_COLUMNS, "[times called]") if c not in columns]:
            usual = next((form for form in _FORMS if len(form) == len(columns)), None)
            if usual is None or len(missing) > 1:
                raise LogFormatError(f"line {at}: expected the header of a profile; it has no column {', '.join(missing)}")
            self._note(at, "the name of a column", header)
            columns = list(usual)
        self.at += 1
        rows = []
        bad: list[LogFormatError] = []
        while self.at < len(self.lines) and self.lines[self.at][1].strip():
            at, line = self.lines[self.at]
            try:
                rows.append(_row(at, line, columns))
            except LogFormatError as e:
                bad.append(e)
                self._note(at, "a row of a profile, which is missing in the figures", line)
            self.at += 1
        if len(bad) > MOST_BAD * (len(rows) + len(bad)):
            raise bad[0]
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
                    self._note(number, "the statistics of a profile", line)
                    return Stat(0)
                return _stat(number, found)
        return None


def _decoded(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 if there is a byte order mark (PowerShell writes UTF-16); a terminal's colours are left out."""
    wide = data.startswith(_WIDE)
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
