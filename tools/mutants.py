"""Measures how well the tests protect a change of the code: 111 slips a refactoring could make, each put in by itself.

python tools/mutants.py [--only N,N] [--first-only] [--json] [--timeout SECONDS] [--corpus FOLDER] [-- PYTEST OPTION ...]

Each mutant goes into a copy of its own. The test files that should notice run first, and all of `tests` where they pass.
Exit 1 where a mutant survives. What follows `--` goes to pytest, such as -n 2 -m "not slow".

Tests that compare times are left out, since a busy machine fails them. FULLINT_CORPUS is left out of the environment unless
--corpus is given: a clone without that folder has to notice, too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = """
 1 model/weights.py (numerics assign): The largest weight of each channel is cut off by a step.
- scales: Array = (peak / _largest_codes(rows, peak, self.most)).astype(np.float32)
+ scales: Array = (peak / (1 + _largest_codes(rows, peak, self.most))).astype(np.float32)
 2 model/numerics.py (assign): A large bias passes what int32 holds, and is cut off.
- BIAS_MAX = 2**30
+ BIAS_MAX = 2**32
 3 model/tflite/read.py (roundtrip): In files of old converters, which fill the older field only, all operators are ADD.
- number = max(code.builtinCode, code.deprecatedBuiltinCode)
+ number = code.builtinCode
 4 model/tflite/write.py (roundtrip): The next constant is written over the end of one in a file for the runtime.
- self.base += -(-buffer.data.nbytes // _ALIGNMENT) * _ALIGNMENT
+ self.base += buffer.data.nbytes // _ALIGNMENT * _ALIGNMENT
 5 ops/int16.py (int16): A MEAN in a model of int16 activations computes in int8.
- "MEAN": 3,
+
 6 ops/traits.py (accuracy): The mean error of a classifier's logits is not taken back, since a SOFTMAX follows them.
- softmax=True, passes_means=True
+ softmax=True
 7 ops/elementwise.py (useful_ranges traits): What TANH reads is cut off at 2, where the result still grows by four steps.
- saturates=4.0
+ saturates=2.0
 8 ops/structure.py (verify): A zero point outside its type is not noticed.
- (quant.zero_point < low) | (quant.zero_point > high)
+ (quant.zero_point < low) & (quant.zero_point > high)
 9 passes/fold_affine.py (passes): With several outputs per input channel, depthwise weights get the factors of other channels.
- np.repeat(factor, w.shape[3] // factor.size)
+ np.tile(factor, w.shape[3] // factor.size)
10 passes/lookup.py (lookup golden): Functions that differ beyond 4 only are taken for each other: RELU6 for RELU.
- np.linspace(-12, 12, 2049)
+ np.linspace(-4, 4, 2049)
11 passes/static_shapes.py (passes): Random numbers are drawn once, and are the same in each run from then on.
- plain = not traits.effects and not traits.random and
+ plain = not traits.effects and
12 passes/softmax.py (passes rewrites): A maximum over another axis, which does change the result, is left out.
- if _axis(largest, x) != axis or not _spreads(top, x, axis):
+ if not _spreads(top, x, axis):
13 passes/engine.py (engine keep_float passes): An operator that was to stay float is rewritten away, unless its rewrite ends with it.
- next((o for o in verdict.old if o.keep_float), None)
+ next((o for o in verdict.old[-1:] if o.keep_float), None)
14 passes/qat_params.py (qat_params): A FAKE_QUANT of narrow range gets steps that are too fine, by one in 255.
- scale = (np.float32(high) - low32) / np.float32(255 - least)
+ scale = (np.float32(high) - low32) / np.float32(255)
15 calibration/range_methods.py (statistics probes accuracy): Ranges of which few values were seen are not made wider.
- low, high = _with_room(self.low.min(), self.high.max(), count)
+ low, high = self.low.min(), self.high.max()
16 calibration/probes.py (probes accuracy): All that is negative behind a fused RELU_N1_TO_1 is cut off.
- _NOT_NEGATIVE = tuple(clamp for clamp, (low, _) in CLAMPS.items() if low >= 0)
+ _NOT_NEGATIVE = tuple(CLAMPS)
17 calibration/statistics.py (statistics probes): Of a value that two signatures see, the last one says how large it gets.
- ranges[t] = span.union(ranges.get(t, span))
+ ranges[t] = Range(min(span.low, ranges.get(t, span).low), span.high)
18 calibration/samples/held_back.py (samples): Of a stream in sequence, one sample less is left for the certificate.
- len(waiting) > _held_back(one.run + 1, one.sample)
+ len(waiting) >= _held_back(one.run + 1, one.sample)
19 calibration/masks.py (probes rewrites): The usual mask of -10000 is not taken for one, and takes all codes for itself.
- MASK = 1e3
+ MASK = 1e5
20 verification/acceptance.py (acceptance verify): A result that is as good as the steps of its outputs allow is refused.
- o.sqnr_db >= o.limit_db - LIMIT_SLACK
+ o.sqnr_db >= o.limit_db + LIMIT_SLACK
21 verification/metrics.py (acceptance verify): The largest error that is told is that of the last sample.
- self.largest = max(self.largest, float(np.abs(error).max(initial=0.0)))
+ self.largest = float(np.abs(error).max(initial=0.0))
22 verification/operator_checks.py (verify): A bias with a scale that is too large passes as right.
- worst = int(np.argmax(np.abs(ratio - 1)))
+ worst = int(np.argmax(ratio))
23 auditing/rules/useless_requantize.py (audit repair): A QUANTIZE from int8 to uint8 of equal parameters is taken out.
- codes(x) and x.dtype == y.dtype and target.same_as(x.quant)
+ codes(x) and target.same_as(x.quant)
24 auditing/rules/op_version.py (audit): Operators that came with the very release of the target are said to be too new.
- release > facts.runtime
+ release >= facts.runtime
25 quantization/scale_sharing.py (scale_sharing assign): Values that others read get steps up to fifteen times as coarse, for a shared scale.
- FREE_RATIO = 1.5
+ FREE_RATIO = 15.0
26 quantization/tensor_groups.py (scale_sharing assign): Negative values join a group that is fixed at 0 to 1, and are cut off.
- .contains(span, below=step / 2, above=step)
+ .contains(span, below=1e9, above=step)
27 quantization/useful_ranges.py (useful_ranges assign accuracy): Attention scores 4 below the largest are cut off, though they count.
- SOFTMAX_DEPTH = 16.0
+ SOFTMAX_DEPTH = 4.0
28 quantization/useful_ranges.py (useful_ranges assign): The wrong end of what is subtracted is cut off: a mask there keeps all codes.
- else Range(span.low - out.high, span.high - out.low)
+ else Range(span.low + out.low, span.high + out.high)
29 quantization/mixed_precision.py (mixed_precision accuracy): Small variances stay in int8 unless the smallest is less than one code.
- FEWEST = 8
+ FEWEST = 1
30 quantization/equalization.py (accuracy): Channels behind a RELU6 are made larger than 6, and cut off there.
- np.maximum(reach / CLIP, SMALLEST)
+ np.maximum(0 * reach, SMALLEST)
31 quantization/refine.py (refine): The mean error of each layer is doubled in place of taken back.
- moved = np.clip(at - np.rint(
+ moved = np.clip(at + np.rint(
32 quantization/io_types.py (quantize input_forms): With float inputs, a signature still names the integer tensors behind them.
- s.inputs = [(n, first.get(t, t)) for n, t in s.inputs]
+ s.inputs = list(s.inputs)
33 quantization/feasibility.py (quantize audit): A constant that holds an infinity is no reason to refuse any more.
- not np.isfinite(t.array).all()
+ np.isnan(t.array).any()
34 repairing/lift.py (lift repair): The zero point of a bias is left out when it is read as numbers.
- real: Array = ((flat.astype("float64") - zero) * scale.astype("float64")).astype("float32")
+ real: Array = (flat.astype("float64") * scale.astype("float64")).astype("float32")
35 quantization/given_ranges.py (repair): One QUANTIZE behind a value decides its range, though others read more of it.
- if first is not None and all(a is not None
+ if first is not None and any(a is not None
36 repairing/interval_bounds.py (repair): The lower bound of a weighted sum is too high, and what lies below it is cut off.
- float((up * low + down * high + bias).min())
+ float((up * low + down * low + bias).min())
37 delegates/xnnpack.py (partition): A MUL of small scales, which XNNPACK takes, is said to be refused.
- Ratio((0, 1), 1 / 65536, 256)
+ Ratio((0, 1), 1 / 1024, 256)
38 deployment/logs/analysis.py (logs): A kernel of a log is told to hold more float operators than it has.
- kernels = [sum(c > k for c in calls)
+ kernels = [sum(c >= k for c in calls)
39 deployment/benchmark/session.py (benchmark): The interval of a ratio is that of one turn less.
- half = STUDENT_T[len(ratios) - 1]
+ half = STUDENT_T[len(ratios) - 2]
40 cli/audit.py (cli): repair overwrites a file that is there, without --force.
- require_output(output, "--dry-run", force=force)
+ require_output(output, "--dry-run", force=True)
41 verification/part_scores.py (parts cases): A part is judged by its energy, so that a column that becomes a constant is kept.
- return self.energy_db if self.still else self.spread_db
+ return self.energy_db
42 verification/output_parts.py (parts detector): Operands of a join are taken for the tensor behind them, two of them for one.
- inputs.append(self.copy(x) if self._meets_join(x) else self._leaf(x))
+ inputs.append(self.copy(x))
43 verification/part_scores.py (parts damage): An error that a kernel's own scale causes is blamed.
- return self.error <= DICTATED_STEPS * self.dictated or (
+ return (
44 repairing/select.py (repair stale_metadata): A fix that changes what a working model computes is applied unasked.
- harmful = not rule.safe_for(what, f) and what not in refused
+ harmful = False
45 repairing/stamp.py (stale_metadata repair): The corrected scale of a bias replaces its codes' buffer by the weights'.
- own.buffer, own.quant = b.buffer, Quant.of
+ own.buffer, own.quant = w.buffer, Quant.of
46 calibration/masks.py (padding): What a maximum and a minimum both read is padding for the maximum.
- return (signs.pop(), tuple(others), tuple(ends)) if len(signs) == 1 else None
+ return (signs.pop(), tuple(others), tuple(ends)) if signs else None
47 quantization/float_tail.py (keep_float cases): What operators kept in float at the outputs read is not compared.
- if not ends or not shown:
+ if True:
48 auditing/rules/requantize_clips.py (damage audit): A clip of the upper end is not counted.
- high = 0.0 if _unseen(y, target, facts, low=False) else max(
+ high = 0.0 if True else max(
49 calibration/samples/held_back.py (samples): Later samples of a long stream are never held back.
- if place < len(held):
+ if False:
50 calibration/samples/held_back.py (samples): A sample that comes again counts as a new one.
- digest = digest_of(sample)
+ digest = run.to_bytes(8, "big")
51 calibration/outermost.py (outliers): The first values at a place are kept, and not the largest.
- else _largest(self.keys)
+ else self.keys[:MOST]
52 calibration/outliers.py (outliers): Outliers that are held back are taken for samples that calibrated.
- {held_number(place): collected
+ {place: collected
53 calibration/samples/images.py (samples): Pixels of sixteen bits are scaled as if the largest number were 65536.
- grey = Image.fromarray(deep * (255 / SIXTEEN_BITS))
+ grey = Image.fromarray(deep / 65536)
54 verification/uncertainty.py (uncertainty): The interval is that of a normal distribution, whatever the number of samples.
- return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
+ return z / 2
55 verification/certificate.py (quantize verify natural): Calibrated samples judge in the place of those held back, not beside them.
- self._add(trial, reference, outputs)
+ self._judge(reference, outputs)
56 quantization/whole_numbers.py (advice): The step of whole numbers is that of their range.
- found[t] = Range(float(first), first + STEPS / (STEPS // (last - first)))
+ found[t] = Range(float(first), float(last))
57 quantization/readings.py (plantings): Samples of a network without biases are said to be too large.
- return None  # a network without biases: the scale is nothing to it
+ return found
58 quantization/questions.py (questions): Labels belong to samples in the order of calibration.
- return [samples.labels_of(run) for run in self.runs]
+ return [samples.labels_of(place) for place, _ in enumerate(self.runs)]
59 ops/taps.py (taps): Where padding is uneven, the larger half of it is taken to lie before the picture.
- before = max((results - 1) * stride + reach - size, 0) // 2 if padding == 0 else 0
+ before = (max((results - 1) * stride + reach - size, 0) + 1) // 2 if padding == 0 else 0
60 quantization/patches.py (taps): Padding is read as code 0, whatever the zero point.
- found[outside] = self.fill
+ found[outside] = 0
61 quantization/patches.py (taps): The mean that a tap reads leaves out of account how often it reads padding.
- total - self.zero * float(rows * counts[m] * t.batch)
+ total - self.zero * float(t.places)
62 quantization/pieces.py (pieces): A value is dropped one piece before it is read for the last time.
- drops = tuple(t for t in made if last.get(t, -1) <= number and
+ drops = tuple(t for t in made if last.get(t, -1) <= number + 1 and
63 quantization/pieces.py (pieces): A graph is cut before the last operator of a variable.
- first < place[op] <= last for first
+ first < place[op] < last for first
64 quantization/rounding.py (rounding): Few results are trusted as much as many.
- _upper(_damped(*pair))
+ _upper(_damped(pair[0], DAMPING))
65 quantization/rounding.py (rounding): The target is moved on the word of the samples that it was fitted on.
- x[first:, :, p[0]], p[1][:, :, p[0]], rounded[first:, :, p[0]]
+ x[:first, :, p[0]], p[1][:, :, p[0]], rounded[:first, :, p[0]]
66 quantization/rounding.py (rounding): The largest negative weights get the code -128.
- q = np.clip(np.rint(left[:, j] / scale), -most, most)
+ q = np.clip(np.rint(left[:, j] / scale), -most - 1, most)
67 quantization/refine.py (refine): An operator is refined on what comes of the codes that those before it had.
- instead[pair.integer] = one.new
+ instead[pair.integer] = pair.integer
68 quantization/refine.py (refine): Columns of several groups are taken for each other.
- return np.ascontiguousarray(first.transpose(0, 2, 1)).reshape(
+ return np.ascontiguousarray(first).reshape(
69 quantization/pairs.py (refine): Weights that two operators share are rounded for one of them.
- elif readers[weights_of(pair.integer)] > 1:
+ elif readers[weights_of(pair.integer)] > 2:
70 calibration/samples/spread.py (spread): Of a long stream, only the first samples are kept.
- self.kept = {n: s for n, s in self.kept.items() if n % self.stride == 0}
+ self.kept = {n: s for n, s in self.kept.items() if n < self.most}
71 passes/global_pool.py (passes): An average of the whole picture loses its activation.
- return No("MEAN has no fused activation")
+ pass
72 quantization/equalization.py (accuracy): A channel grows to all of the range that few samples have shown.
- return 1 + HEADROOM / math.sqrt(max(count, 1))
+ return 1.0
73 quantization/equalization.py (accuracy): Weights of a dead channel set the scale of all that make the tensor.
- s = np.where(alive, s, np.maximum(s, w.peak / most))
+ s = np.where(alive, s, s)
74 passes/layers_apart.py (passes): Pieces of a layer may overlap.
- or len(taken) < sum(map(len, each)):
+ or len(taken) < 0:
75 passes/matmul.py (passes): A matrix that is given transposed is transposed once more.
- matrix if key[1] else np.ascontiguousarray(matrix.T)
+ np.ascontiguousarray(matrix.T)
76 quantization/search.py (search): A change is kept that is better by chance.
- better = mean < -WORTH_DB and mean < -chance and
+ better = mean < -WORTH_DB and
77 quantization/rounding.py (rounding): Few results move the target.
- shifted = None if few else _moved_target(
+ shifted = _moved_target(
78 runtime/worker.py (search): A terminal's interrupt ends the processes that run models.
- signal.signal(signal.SIGINT, signal.SIG_IGN)
+ pass
79 quantization/joined_layers.py (joined_layers): Layers that read values of very unlike sizes get one scale.
- return all(joint <= MOST_COARSER * s.with_zero().width for s in spans)
+ return all(joint <= 100 * MOST_COARSER * s.with_zero().width for s in spans)
80 quantization/weight_limit.py (weight_limit): Refined weights are judged as the nearest would be.
- codes = codes_of.get(op, codes) if i == ROWS[op.kind].weight else codes
+ codes = codes if i == ROWS[op.kind].weight else codes
81 quantization/room.py (room): Ranges of few samples end where these do.
- end = max(end, min(last, end * (1 + share * min(high, MOST_ROOM))))
+ end = max(end, min(last, end))
82 quantization/measure.py (room): Ranges that reach to outliers get room beyond them.
- whole = replace(calibrated(done), growth={})
+ whole = calibrated(done)
83 quantization/judges.py (search): Repair without samples is taken for a run with them.
- return "ranges come from the file, not from samples"
+ return Judges([], [])
84 comparing/operator_run.py (compare): Rescaled channels are compared as they are.
- return (exact / factor if factor is not None else exact).reshape(t.shape)
+ return exact.reshape(t.shape)
85 comparing/diagnosis.py (compare): All that adds some error is suspicious.
- found > SUSPICIOUS_DB and added < COUNTS_DB:
+ added < COUNTS_DB:
86 quantization/operator_settings.py (recipes): What was folded into another operator is named by its type, too.
- return any(p in self.kinds and (op.kind == self.kinds[p] or len(own) == 1) for p in own)
+ return any(p in self.kinds for p in own)
87 quantization/tensor_groups.py (recipes): Symmetric ranges have codes up to 128.
- step = max(span.high / 127, -span.low / 128)
+ step = max(span.high / 128, -span.low / 128)
88 options/choices.py (recipes options): What the recipe says counts more than the call.
- free = [name for name in recipe.options if is_default(options, known[name])]
+ free = list(recipe.options)
89 quantization/mixed.py (mixed): Pieces that make the network too slow are chosen, too.
- MOST_SLOWER = 2.0
+ MOST_SLOWER = 200.0
90 quantization/mixed.py (mixed): A search forgets what was chosen.
- before = replace(chosen.before, mixed=found) if chosen.before is not None else None  # where a search starts from
+ before = chosen.before
91 sensitivities/pipeline.py (sensitivity): The output with most noise decides alone about shares.
- return {key: sum(n[j] / sums[j] for j in known) / max(len(known), 1) for key, n in noise.items()}
+ return {key: sum(n[j] for j in known) / sum(sums) for key, n in noise.items()}
92 quantization/variants.py (sensitivity): What a float operator passes on has no range.
- made = {t: known[t] for op in ops for t in op.outputs if t not in calibrated.ranges and t in known}
+ made = dict[object, object]()
93 comparing/biases.py (compare): A bias that is lost and small is not found.
- return tuple(range(codes.size)) if (steps > CERTAIN_STEPS).any() else ()
+ return tuple(range(codes.size)) if (steps > 1e6).any() else ()
94 comparing/excuses.py (compare): Biases that take back earlier errors look like damage.
- if added is not None and run > added + BETTER_DB:
+ if added is not None and run > added + 100:
95 comparing/effects.py (compare): Errors that are undone behind an operator are its own.
- return any(db < self.in_run.get(out, db) - UNDONE_DB for out, db in self.alone.get(t, {}).items())
+ return any(db < self.in_run.get(out, db) - 200 for out, db in self.alone.get(t, {}).items())
96 comparing/ranking.py (compare): Suspects are ranked by what is suspicious, not by what it costs.
- return 0, math.inf if effect is None else effect, suspected
+ return 0, 0.0, suspected
97 auditing/rules/bias_saturated.py (audit): A bias that was cut off is not seen.
- channels = [int(c) for c in np.flatnonzero(saturated(b.array.reshape(-1)))]
+ channels = [int(c) for c in np.flatnonzero(saturated(b.array.reshape(-1) * 0))]
98 calibration/samples/arrays_in_files.py (arrays_in_files): The checksum of an array that is stored as it is counts no more.
- while f.read(PIECE_BYTES):
+ while False:
99 calibration/samples/sources.py (arrays_in_files): A row of any size is read before it is seen not to fit.
- if shape is None or any(n < 1 for n in slot.shape):
+ if shape is not None or any(n < 1 for n in slot.shape):
100 temporary.py (limits): What a living run holds is taken for what was left.
- fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
+ fcntl.flock(handle, fcntl.LOCK_UN)
101 runtime/watch.py (limits): A worker whose parent was killed leaves its files.
- remove_of(self.parent.token, Path(self.parent.temporary))
+ remove_of(self.parent.token, Path("nowhere"))
102 runtime/watch.py (limits): Time in which a process was stopped counts.
- self.awake += min(looked - before, 2 * EVERY)
+ self.awake += looked - before
103 printable.py (printable): What a terminal obeys reaches it in messages.
- return _UNSHOWN.sub(lambda m: m[0] if m[0].isprintable() else _escape(m[0]), text)
+ return _UNSHOWN.sub(lambda m: m[0], text)
104 model/subgraphs.py (fuzz): A graph that calls itself is copied without end.
- elif graph in entered:
+ elif graph in ended and graph in entered:
105 verification/kernels_apart.py (kernels_apart): Kernel sets that agree are said to part.
- if of is not None and own > AMPLIFIED * max(given, 1):
+ if of is not None and own >= AMPLIFIED * given:
106 runtime/supervised.py (limits): The supervisor is gone before it has removed what an ended program leaves.
- if alone.is_set():
+ if False:
107 frontends/environments.py (frontends): The scripts of an environment keep its temporary path.
- script.write_bytes(text.replace(old, new))
+ script.write_bytes(text)
108 fleets/cache.py (fleets): A result that was changed in the cache is handed out.
- if hashlib.sha256(data[name]).hexdigest() != digest:
+ if False:
109 fleets/keys.py (fleets): Finished work is recognised whatever samples it was made with.
- contents.append([name, key, digest])
+ contents.append([name, key])
110 model/tflite/tables.py (tables): A field that is not in the file is 0, and not what the schema says.
- if place else f.default
+ if place else 0
111 verification/paired_runs.py (head_start): Outputs that are known go to other samples.
- known, result = self.waiting.popleft()
+ known, result = self.waiting.pop()
112 calibration/value_keys.py (stats_files): Networks with other weights are taken for the same.
- _hash("constant", t.buffer.data, *_form(t))
+ _hash("constant", *_form(t))
113 calibration/entry_stats.py (stats_files): Samples of a second shard have the numbers of the first.
- lambda numbers: numbers + one.total
+ lambda numbers: numbers
114 calibration/entry_stats.py (stats_files): Samples that were held back make no range elsewhere.
- new.add(held_runs[place], [vector])
+ new.add(-1, [vector])
115 quantization/certify.py (stats_files): A result that no sample judges is judged on random ones.
- bar = -math.inf if calibrated.uncertified else options.min_sqnr
+ bar = options.min_sqnr
116 calibration/samples/held_back.py (samples): Samples are remembered without end.
- len(self.times) < REMEMBERED
+ len(self.times) >= 0
117 verification/paired_runs.py (head_start): What the result has answered ahead goes to other samples.
- self.answered.pop(id(sample), None)
+ (self.answered.popitem()[1] if self.answered else None)
118 fleets/cores.py (fleets): All processes of a pool keep to the first's cores.
- cores[i * threads : (i + 1) * threads]
+ cores[:threads]
"""
ROW = re.compile(r"^ *(\d+) (\S+) \(([a-z_ 0-9]+)\): (.+)\n- (.+)\n\+ ?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """One slip: `old` becomes `new` in a file of src/fullint, and what is `wrong` then; the test files that run first."""

    number: int
    file: str
    first: tuple[str, ...]
    wrong: str
    old: str
    new: str


def mutants() -> list[Mutant]:
    return [
        Mutant(int(number), file, tuple(f"tests/test_{name}.py" for name in first.split()), wrong, old, new)
        for number, file, first, wrong, old, new in ROW.findall(TABLE)
    ]


def problems(rows: Sequence[Mutant]) -> Iterator[str]:
    """Rows that no longer fit the code: their texts have to follow it."""
    if [m.number for m in rows] != list(range(1, TABLE.count("\n- ") + 1)):
        yield "a row of the table cannot be read, or is out of order"
    for m in rows:
        path = ROOT / "src/fullint" / m.file
        count = path.read_text("utf-8").count(m.old) if path.exists() else 0
        if count != 1:
            yield f"mutant {m.number}: {m.file} has {count} times, not once: {m.old}"
        yield from (f"mutant {m.number}: there is no {name}" for name in m.first if not (ROOT / name).exists())


@contextmanager
def copied() -> Iterator[Path]:
    """The repository's files as they are now, in a temporary folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for name in filter(None, listed.split("\0")):
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        yield Path(folder)


def failed_test(copy: Path, tests: Sequence[str], given: argparse.Namespace) -> str | None:
    """The first test that fails, None where all pass."""
    env = {k: v for k, v in os.environ.items() if k != "FULLINT_CORPUS"}
    env |= {"PYTHONPATH": str(copy / "src")} | ({"FULLINT_CORPUS": str(given.corpus.resolve())} if given.corpus else {})
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not alone", *given.options, *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=given.timeout)
    except subprocess.TimeoutExpired:
        return f"the time limit of {given.timeout:g} s"
    if done.returncode in (0, 5):  # 5: all are deselected
        return None
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode != 1 and found is None:
        raise SystemExit(f"pytest did not run the tests (exit {done.returncode}):\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found[1] if found else "a test that pytest does not name"


def caught_by(m: Mutant, given: argparse.Namespace) -> str | None:
    with copied() as copy:
        path = copy / "src/fullint" / m.file
        path.write_text(path.read_text("utf-8").replace(m.old, m.new), "utf-8")
        found = failed_test(copy, m.first, given)
        return found if found or given.first_only else failed_test(copy, ["tests"], given)


def main() -> int:
    rows = mutants()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", metavar="N,N", help="these mutants only")
    parser.add_argument("--first-only", action="store_true", help="do not run all tests where those that should notice pass")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="of each run of pytest [%(default)s]")
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", help="set FULLINT_CORPUS for the tests")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="of pytest, behind --")
    given = parser.parse_args()
    only = {int(n) for n in given.only.split(",")} if given.only else {m.number for m in rows}
    if wrong := [*problems(rows), *(f"there is no mutant {n}" for n in sorted(only - {m.number for m in rows}))]:
        raise SystemExit("\n".join(wrong))
    chosen = [m for m in rows if m.number in only]
    with copied() as copy:
        if (broken := failed_test(copy, sorted({name for m in chosen for name in m.first}), given)) is not None:
            raise SystemExit(f"a failure would prove nothing: without any mutant, tests fail at {broken}")
    results = []
    for m in chosen:
        found = caught_by(m, given)
        results.append({**asdict(m), "caught_by": found})
        if not given.json:
            print(f"{m.number:2} {m.file}: {f'caught by {found}' if found else f'SURVIVED: {m.wrong}'}", flush=True)
    caught = sum(r["caught_by"] is not None for r in results)
    print(json.dumps(results, indent=2) if given.json else f"{caught} of {len(results)} caught")
    return int(caught < len(results))


if __name__ == "__main__":
    sys.exit(main())
