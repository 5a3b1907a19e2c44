"""The report of a check: every fault of a data set at once, for a person and as JSON."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from lightm.data.reading.faults import ERROR, WARNING, Fault, shown

_MANY = 50  # faults of one kind: the text shows so many, the JSON all


@dataclass(frozen=True)
class Report:
    """What is known of a data set after looking at all of it.

    name, root: which set, where. facts: numbers (cases, sizes, spacing, voxels a class, …), see `across.summarise`.
    faults: all of them, errors first. notes: what was handled and should be known.
    remembered: whether the answer was kept from an earlier look at the same files.
    """

    name: str
    root: str
    facts: dict[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    remembered: bool = False

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults on which training must not start."""
        return tuple(fault for fault in self.faults if fault.severity == ERROR)

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """The faults that may be meant."""
        return tuple(fault for fault in self.faults if fault.severity == WARNING)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; text from files is made printable."""
        printable = [{key: shown(value) for key, value in asdict(fault).items()} for fault in self.faults]
        return {
            "name": self.name,
            "root": shown(self.root),
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "facts": self.facts,
            "faults": printable,
            "notes": [shown(note) for note in self.notes],
        }

    def text(self) -> str:
        """A heading, the faults with errors first, the notes, and one sentence that says how it stands."""
        lines = [f"{self.name} ({shown(self.root)})", *(f"  {line}" for line in describe(self.facts))]
        seen: Counter[str] = Counter()
        for fault in self.faults:
            seen[fault.kind] += 1
            if seen[fault.kind] <= _MANY:
                where = ", ".join(shown(part) for part in (fault.case, fault.file) if part)
                lines.append(
                    f"{fault.severity:7}  {where + ': ' if where else ''}{shown(fault.what)}; "
                    f"{shown(fault.remedy)}. [{fault.kind}]"
                )
        lines += [
            f"and {n - _MANY} more of the kind {kind} (--json FILE has all)" for kind, n in seen.items() if n > _MANY
        ]
        lines += [f"note     {shown(note)}" for note in self.notes]
        return "\n".join([*lines, self.verdict()])

    def verdict(self) -> str:
        """One sentence."""
        counts = f"{_count(len(self.errors), 'error')}, {_count(len(self.warnings), 'warning')}"
        if self.errors:
            return f"{counts}: mend the errors before you train on it."
        return f"{counts}: it can be trained on." if self.faults else "No fault was found: it can be trained on."


def describe(facts: dict[str, Any]) -> list[str]:
    """The facts of a report in a few lines."""
    lines = []
    if "cases" in facts:
        dims = f", {facts['spatial_dims']}D" if facts.get("spatial_dims") else ""
        channels = f", {_count(facts['channels'], 'channel')}" if facts.get("channels") else ""
        test = f" and {facts['test_images']} test images" if facts.get("test_images") else ""
        lines.append(f"{_count(facts['cases'], 'case')}{test}{dims}{channels}")
    if facts.get("sizes"):
        low, middle, high = (" x ".join(map(str, facts["sizes"][key])) for key in ("min", "median", "max"))
        lines.append(f"size       {low}" if low == high else f"size       {low} to {high}, median {middle}")
    if facts.get("spacing"):
        low, high = (" x ".join(f"{v:.4g}" for v in facts["spacing"][key]) for key in ("min", "max"))
        lines.append(f"spacing    {low} mm" if low == high else f"spacing    {low} to {high} mm")
    if facts.get("range"):
        lines.append("values     {:.6g} to {:.6g}".format(*facts["range"]))
    if facts.get("normalise"):
        lines.append(f"normalise  {facts['normalise']}")
    for entry in facts.get("classes", []):
        share = "" if entry.get("share") is None else f"  {entry['share']:8.3%} of voxels, in {entry['cases']} cases"
        lines.append(f"label {entry['value']:<4} {shown(entry['name'])}{share}")
    return lines


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
