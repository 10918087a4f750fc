"""Generate documentation pages: docs/commands.md from --help, docs/ops.md from the op table, docs/rules.md from the rules,
docs/compat.md from the drop-in's attributes, docs/options.md from the options of calls and commands.

python tools/gen_docs.py           write the pages
python tools/gen_docs.py --check   exit with 1 if a page on disk is stale
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path

import click

import fullint
from fullint.auditing.rules import RULES
from fullint.cli import main
from fullint.compat.attributes import ATTRIBUTES, OWN, TARGET_ATTRIBUTES
from fullint.model.tflite import schema
from fullint.ops import KERNEL_SETS, ROWS, Fixed, Observed, OpRow, Raw, Role, Same, Tied
from fullint.ops.decompositions import IMPOSSIBLE, form
from fullint.options import ConvertOptions, QuantizeOptions, RepairOptions, flag_of

DOCS = Path(__file__).parents[1] / "docs"


def commands() -> str:
    """The page of commands: the help of each one."""
    parts = ["# Commands\n\nGenerated from `--help` by `tools/gen_docs.py`."]
    top = click.Context(main)
    known = ((name, main.get_command(top, name)) for name in main.list_commands(top))
    for name, command in [("", main), *((n, c) for n, c in known if c is not None)]:
        context = click.Context(command, info_name=f"fullint {name}".strip(), max_content_width=100, terminal_width=100)
        parts.append(f"## {context.info_name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"


def compat() -> str:
    """The page of the drop-in converter's attributes."""
    lines = [
        "# Attributes of the drop-in converter",
        "",
        "Generated from `fullint.compat.attributes` by `tools/gen_docs.py`. `from fullint.compat import TFLiteConverter` has",
        "every attribute of `tf.lite.TFLiteConverter`. Assigning a value that is not supported raises `fullint.UsageError`;",
        "a name that is not listed here raises `AttributeError`.",
    ]
    for title, rows in (("converter", ATTRIBUTES), ("converter.target_spec", TARGET_ATTRIBUTES)):
        lines += ["", f"## `{title}`", "", "| attribute | default | what fullint does with it |", "|---|---|---|"]
        for name, row in rows.items():
            says = row.says if row.says != "refused" else f"any other value is refused: {row.refuses(object())}"
            lines.append(f"| `{name}` | `{_default(row.default)}` | {says} |")
    lines += ["", "## fullint's own", "", f"{', '.join(f'`{n}`' for n in OWN)}: options of [`fullint.quantize`](api.md).", ""]
    lines += ["Set by `convert()`: `report` (as of `fullint.quantize`), `float_model` (the float `.tflite`), `conversion`."]
    return "\n".join(lines) + "\n"


def options() -> str:
    """The calls that take options, and a table of these for each."""
    lines = ["# Options", "", "Made from `fullint.options` by `tools/gen_docs.py`. Calls, commands and reports have the same."]
    calls = {"quantize": QuantizeOptions, "plan": None, "repair": RepairOptions, "repair_plan": None, "convert": ConvertOptions}
    for name, chosen in calls.items():
        call = getattr(fullint, name)
        result = inspect.signature(call).return_annotation
        said, _, raised = (call.__doc__ or "").partition("\nArgs:")
        lines += ["", f"## `fullint.{name}(model, …) -> {result}`", "", *(line.strip() for line in said.strip().splitlines())]
        lines += _raised(raised.partition("\nRaises:")[2])
        if chosen is None:
            lines += ["", "The options are those of the call above."]
            continue
        lines += ["", "| in Python | on the command line | default | meaning |", "|---|---|---|---|"]
        known = {f.name: flag_of(f) for f in fields(chosen)}
        for argument in inspect.signature(chosen).parameters.values():
            flag = known[argument.name]
            spelled = {"model": "MODEL", "progress": ""}.get(argument.name, f"--{argument.name.replace('_', '-')}")
            default = "" if argument.default is argument.empty else flag.shown or f"`{argument.default!r}`"
            choices = f" One of {', '.join(flag.choices)}." if flag.choices else ""
            lines.append(f"| `{argument.name}` | {f'`{spelled}`' if spelled else ''} | {default} | {flag.help}{choices} |")
    return "\n".join(lines) + "\n"


def _raised(text: str) -> list[str]:
    """What a call raises, one item each."""
    items = re.split(r"\n {4}(?=\S)", text.rstrip())
    return ["", "Raises:", "", *(f"- {' '.join(item.split())}" for item in items if item.strip())]


def _default(value: object) -> str:
    if isinstance(value, set):
        return "{" + ", ".join(sorted(str(v) for v in value)) + "}"
    return repr(value)


def ops() -> str:
    """The page of operators: the op table, and how every other operator of TFLite is handled."""
    lines = [
        "# Operators",
        "",
        "Generated from the op table by `tools/gen_docs.py`. A test proves each row by running the integer operator against",
        "the float operator over the whole integer range, on every kernel set, with int8 and with int16 activations.",
        "",
        "*own*: an operand with its own scale and zero point; *same*: operands that share scale and zero point; *weight*: int8",
        "constant, per channel along the axis; *bias*: int32, scale = input scale × weight scale; *raw*: integers that are not",
        "quantized; *any*: only the shape is read; *tied*: a value shared with other graphs or runs; *derived*: see the row's",
        "module; *measured*: the range is measured during calibration.",
        "",
        "int16: operator version with `--activations int16`; *int8*: computes in int8 between two requantizes.",
        "",
        "| operator | inputs | output | int16 | kernel | remarks | missing or wrong on |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in sorted(ROWS):
        row = ROWS[kind]
        roles = dict.fromkeys(f"weight (axis {row.axis})" if r is Role.WEIGHT else r.value for r in row.inputs)
        inputs = ", ".join(roles if len(row.inputs) > 6 else (_role(row, r) for r in row.inputs))
        faults = "; ".join(f"{s}: {row.faults[s].what}" for s in KERNEL_SETS if s in row.faults)
        if len(row.faults) == len(KERNEL_SETS):
            faults = f"all: {next(iter(row.faults.values())).what}"
        wide = (str(row.int16) if row.int16 > 1 else "yes") if row.int16 else "int8"
        lines.append(f"| `{kind}` | {inputs} | {output(row.outputs[0])} | {wide} | {row.source} | {row.because} | {faults} |")
    return "\n".join([*lines, *others()]) + "\n"


def _role(row: OpRow, role: Role) -> str:
    return f"weight (axis {row.axis})" if role is Role.WEIGHT else role.value


def others() -> list[str]:
    """The sections for operators without a row: how they become integer, or why they cannot."""
    names = [k for k in schema.values("BuiltinOperator") if k not in ROWS]
    lines = ["", "## Without a row", "", "The same in int8 and int16.", "", "| operator | becomes |", "|---|---|"]
    lines += [f"| `{kind}` | {form(kind)} |" for kind in sorted(names) if form(kind)]
    lines += ["", "## Impossible", "", "With float operands; `--keep-float` keeps them in float.", ""]
    lines += ["| operator | because |", "|---|---|"]
    return lines + [f"| `{kind}` | {IMPOSSIBLE[kind]} |" for kind in sorted(names) if not form(kind)]


def output(rule: object) -> str:
    """Where an output's parameters come from, in the words of the page."""
    match rule:
        case Fixed(scale=scale, zero_point=zero):
            return f"fixed: 1/{1 / scale:g}, {zero}"
        case Observed():
            return "measured"
        case Same():
            return "same"
        case Raw():
            return "raw"
        case Tied():
            return "tied"
    raise AssertionError(rule)


def rules() -> str:
    """The page of rules: the manual page of each one."""
    lines = [
        "# Rules of the audit",
        "",
        "Generated from the manual pages of the rules (`fullint explain RULE`) by `tools/gen_docs.py`. A float operator gets one",
        "finding, from the first rule in this order that explains it. The level is the default; a finding may have another.",
        "",
        "| rule | level | looks at | fix | summary |",
        "|---|---|---|---|---|",
    ]
    for r in RULES:
        fix = "none" if r.mend.value == "none" else "safe" if r.safe else "unsafe"
        scopes = ", ".join(s.value for s in r.scopes)
        lines.append(f"| [`{r.name}`](#{r.name}) | {r.level} | {scopes} | {fix} | {r.summary} |")
    for r in RULES:
        _, *body = (r.page or "").strip().splitlines()
        text = [f"**{line[:-1]}.**" if re.match(r"\S.*:$", line) else line.strip() for line in body]
        lines += ["", f"## {r.name}", "", r.summary, *text]
    return "\n".join(lines) + "\n"


def run(check: bool) -> int:
    """Write the pages, or compare them with those on disk."""
    stale = []
    pages = {"commands": commands, "ops": ops, "rules": rules, "compat": compat, "options": options}
    for name, text in ((f"{name}.md", made()) for name, made in pages.items()):
        page = DOCS / name
        if check and (not page.exists() or page.read_text() != text):
            stale.append(name)
        elif not check:
            page.write_text(text)
    if stale:
        print(f"stale: {', '.join(stale)}; run python tools/gen_docs.py")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(run("--check" in sys.argv[1:]))
