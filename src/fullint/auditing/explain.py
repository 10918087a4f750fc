"""`explain`: the manual pages of the audit's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fullint.auditing.audit import chosen_rules
from fullint.auditing.report_document import pages_document, rules_document
from fullint.auditing.rules import Rule
from fullint.documents import Document
from fullint.reporting import SCHEMA_VERSION, Report


@dataclass(frozen=True)
class RulePage:
    """One rule.

    Attributes:
        rule: its name.
        level: the usual level of its findings.
        summary: one sentence.
        safe: whether its fix changes the model's results by no more than rounding.
        repairable: whether `repair` can fix it.
        page: the manual page.
    """

    rule: str
    level: str
    summary: str
    safe: bool
    repairable: bool
    page: str | None


@dataclass(frozen=True, repr=False)
class RulePages(Report):
    """The manual pages of some rules."""

    schema_version: int
    rules: tuple[RulePage, ...]
    listed: bool

    def document(self) -> Document:
        """A table of all rules, or the pages that were asked for."""
        return rules_document(self.rules) if self.listed else pages_document(self.rules)

    def rows(self) -> tuple[RulePage, ...]:
        """The rules."""
        return self.rules


def explain(rule: str | Sequence[str] | None = None) -> RulePages:
    """The manual pages of audit rules.

    Args:
        rule: names, in a sequence or joined by commas; all by default, as a list.

    Raises:
        UsageError: there is no such rule.
    """
    return RulePages(SCHEMA_VERSION, tuple(map(_page, chosen_rules(rule))), rule is None)


def _page(r: Rule) -> RulePage:
    return RulePage(r.name, r.level, r.summary, r.safe, r.mend.value != "none", r.page)
