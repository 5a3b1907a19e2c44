"""What book/model_card.md is filled with: everything in it comes from the record that the weights carry."""

import json
import statistics
from collections import defaultdict
from pathlib import Path

from lightm.data.montgomery_shenzhen import HOSPITALS, READINGS
from lightm.evaluation.statistics import interval
from lightm.training.weights import FOLDER, SUFFIX, WeightsFile, list_weights, read_weights
from lightm_book import ROOT
from lightm_book.show.tables import markdown_table

ROUNDING = ROOT / "results" / "rounding.json"
WORST = 5


def model_card(name: str) -> str:
    """Markdown on the weights of this name; a sentence if this copy of the package has none."""
    if name not in list_weights():
        return f"This copy of the package comes without the weights `{name}`; `lightm train {name}` makes them.\n"
    found = read_weights(FOLDER / f"{name}{SUFFIX}")
    parts = [_facts(found), _scores(found.record())]
    if ROUNDING.is_file():
        parts.append(_rounding(json.loads(ROUNDING.read_text("utf-8"))))
    return "\n".join(parts)


def _facts(found: WeightsFile) -> str:
    record, config = found.record(), found.config
    cases, hardware = record["data"]["cases"], record["environment"]["hardware"]
    size = " x ".join(map(str, config.data.size))
    rows = [
        ["Network", f"`{config.model.name}`, {record['model']['params']:,} parameters, stored as float16"],
        ["File", f"{_megabytes(found.checkpoint)} MB, safetensors"],
        ["Finds", ", ".join(found.task.classes[1:])],
        ["Sees", f"one gray picture, resized to {size}, normalised by `{found.task.normalise}`"],
        ["Learnt from", f"{cases['train']} cases; {cases['val']} others chose the epoch, {found.epoch}"],
        ["Data and terms", record["data"]["source"]],
        ["Made by", f"`lightm train {config.name}`, commit `{record['environment']['git']['commit']:.12}`"],
        ["On", f"{hardware['gpu'] or hardware['cpu']}, {record['cost']['wall_seconds'] / 60:.0f} minutes"],
        ["Hash of recipe, split", f"`{record['config_sha256']:.12}`, `{record['data']['split_sha256']:.12}`"],
    ]
    return markdown_table(["", ""], rows, ":--") + "\n"


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f}"


def _scores(record: dict) -> str:
    cases = record["test_native"]["cases"]
    groups: dict[str, list[float]] = defaultdict(list)
    (name,) = record["test_native"]["summary"]["dsc"]["per_class"]
    for case in cases:
        hospital, reading = HOSPITALS[case["case"].split("_")[0]], READINGS[case["case"].rpartition("_")[2]]
        for group in ("all", hospital, reading):
            groups[group].append(case["dsc"][name])
    rows = []
    for group, scores in groups.items():
        low, high = interval(scores) or (float("nan"),) * 2
        numbers = (statistics.mean(scores), low, high, statistics.median(scores), min(scores))
        rows.append([group, str(len(scores)), *(f"{number:.4f}" for number in numbers)])
    table = markdown_table(["Test cases", "Number", "Mean DSC", "from", "to", "Median", "Worst"], rows)
    worst = sorted(cases, key=lambda case: case["dsc"][name])[:WORST]
    named = ", ".join(f"`{case['case']}` {case['dsc'][name]:.3f}" for case in worst)
    return f"""## How good it is

On radiographs that it never saw, at their own size, with the 95% bootstrap interval of the mean:

{table}

The worst are {named}. Whoever has the data can look at them: their names are those of the public files.
"""


def _rounding(record: dict) -> str:
    return (
        f"Rounding the weights to float16 changes the mean DSC on the {len(record['cases'])} test cases by "
        f"{record['change']:+.6f} (from {record['float32']:.5f} to {record['float16']:.5f}, both computed in float32), "
        f"and that of no case by more than {abs(record['largest_change']):.5f}.\n"
    )
