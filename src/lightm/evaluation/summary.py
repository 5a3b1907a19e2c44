"""Means over cases with their intervals, what was left out of them, and the result as text and JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from lightm.data.reading.faults import shown
from lightm.evaluation.scores import DISTANCES, METRICS, NAMES, STATES
from lightm.evaluation.statistics import interval


def summarise(cases: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """Per class {metric: {"mean", "low", "high", "sd", "median", "n", "excluded"}, "states": {state: cases}}.

    n: cases that count; excluded: those that have no such score (see `scores` for the rule). low, high: `interval`.
    """
    summary: dict[str, Any] = {}
    for name in classes:
        states = Counter(case["scores"][name]["state"] for case in cases)
        entry: dict[str, Any] = {"states": {state: states.get(state, 0) for state in STATES}}
        for metric in METRICS:
            values = np.array([case["scores"][name][metric] for case in cases], float)
            values = values[np.isfinite(values)]
            bounds = interval(values)
            entry[metric] = {
                "mean": float(values.mean()) if len(values) else None,
                "low": bounds[0] if bounds else None,
                "high": bounds[1] if bounds else None,
                "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
                "median": float(np.median(values)) if len(values) else None,
                "n": len(values),
                "excluded": len(cases) - len(values),
            }
        summary[name] = entry
    return summary


def show(metric: str, value: float | None) -> str:
    """A score with as many digits as it deserves; a dash for none."""
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:.2f}" if metric in DISTANCES else f"{value:+.1%}" if metric == "rvd" else f"{value:.4f}"


def sentence(result: dict[str, Any]) -> str:
    """One sentence that may be quoted: it says what was left out."""
    parts, left_out = [], []
    for name, entry in result["summary"].items():
        dsc, hd95 = entry["dsc"], entry["hd95"]
        if dsc["mean"] is None:
            left_out.append(f"{shown(name)} occurs in no case")
            continue
        bounds = f" (95% interval {dsc['low']:.3f} to {dsc['high']:.3f})" if dsc["low"] is not None else ""
        distance = f" and HD95 {hd95['mean']:.2f} {result['unit']}" if hd95["mean"] is not None else ""
        parts.append(f"{shown(name)}: DSC {dsc['mean']:.3f}{bounds}{distance}")
        if dsc["excluded"]:
            left_out.append(f"{dsc['excluded']} case(s) without {shown(name)} in label map and prediction don't count")
        if hd95["n"] < dsc["n"]:
            left_out.append(f"{dsc['n'] - hd95['n']} case(s) with {shown(name)} in one of the two have no distance")
    end = f"; {'; '.join(left_out)}" if left_out else ""
    return f"Mean over {len(result['cases'])} cases, {', '.join(parts)}{end}."


def text(result: dict[str, Any]) -> str:
    """A table of the means with their intervals, the states, the worst case of each class, and the sentence."""
    unit = result["unit"]
    heads = [NAMES[m] + (f" {unit}" if m in DISTANCES else "") for m in METRICS]
    heads[METRICS.index("nsd")] = f"NSD {result['tolerance']:g} {unit}"
    rows = [["class", *heads]]
    for name, entry in result["summary"].items():
        rows.append([shown(name), *(show(m, entry[m]["mean"]) for m in METRICS)])
        rows.append(["  95% interval", *(_range(m, entry[m]) for m in METRICS)])
        rows.append(["  cases", *(str(entry[m]["n"]) for m in METRICS)])
    lines = _aligned(rows)
    for name, entry in result["summary"].items():
        states = ", ".join(f"{n} {state}" for state, n in entry["states"].items() if n)
        worst = worst_cases(result, name, 1)
        lowest = f"; lowest DSC {show('dsc', worst[0][1])} in {shown(worst[0][0])}" if worst else ""
        lines.append(f"{shown(name)}: {states}{lowest}")
    if result["unscored"]:
        lines.append(f"{len(result['unscored'])} prediction(s) without a label map were not scored.")
    return "\n".join([*lines, sentence(result), *_comparison(result)])


def _comparison(result: dict[str, Any]) -> list[str]:
    if "comparison" not in result:
        return []
    rows = [["difference", "mean", "95% interval", "p", "better", "worse"]]
    for name, metrics in result["comparison"]["difference"].items():
        for metric, d in metrics.items():
            p = "-" if d["p"] is None else f"{d['p']:.4f}"
            better, worse = (d["worse"], d["better"]) if metric in DISTANCES else (d["better"], d["worse"])
            if metric != "rvd":  # neither larger nor smaller is better
                label, mean = f"{shown(name)} {NAMES[metric]}", show(metric, d["mean"])
                rows.append([label, mean, _range(metric, d), p, str(better), str(worse)])
    heading = f"against {shown(result['comparison']['predictions'])} (paired; p not corrected for the number of tests)"
    return ["", heading, *_aligned(rows)]


def _range(metric: str, entry: dict[str, Any]) -> str:
    return "-" if entry["low"] is None else f"{show(metric, entry['low'])} to {show(metric, entry['high'])}"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def worst_cases(result: dict[str, Any], name: str, many: int) -> list[tuple[str, float]]:
    """The cases with the lowest DSC of a class, lowest first; cases in which it does not occur have none."""
    scored = [(case["case"], case["scores"][name]["dsc"]) for case in result["cases"]]
    return sorted([(case, v) for case, v in scored if np.isfinite(v)], key=lambda pair: (pair[1], pair[0]))[:many]


def to_json(result: dict[str, Any]) -> str:
    """The whole result as JSON, NaN as null."""
    return json.dumps(_plain(result), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {shown(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return shown(value) if isinstance(value, str) else value
