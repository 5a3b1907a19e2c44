"""Markdown with the numbers that pages quote: nothing in it is typed by hand.

headline: book/intro.md, from the records under results/.   record_facts: book/checklist.md, from the same.
facts: book/this_build.md, from what the build measured.
"""

import json
from math import prod
from pathlib import Path

from lightm_book.show.tables import markdown_table

CURVES = "curves.png"  # beside the page


def headline(records: dict[str, dict]) -> str:
    """The box of the intro; nothing if there is no record yet."""
    sentence = result_sentence(records)
    return (
        f"```{{admonition}} What came out\n{sentence} See {{doc}}`../notebooks/07_real_xrays`.\n```\n"
        if sentence
        else ""
    )


def result_sentence(records: dict[str, dict]) -> str:
    """The result on real radiographs; README.md has the same sentence (a test compares).

    From the record with the largest images, the newest of those: records of reduced size don't push it aside.
    """
    wanted = ("montgomery-shenzhen", "lightm-unet")
    real = [record for record in records.values() if (record["data"]["name"], record["model"]["name"]) == wanted]
    if not real:
        return ""
    record = max(real, key=lambda record: (prod(record["config"]["data"]["size"]), record["finished"]))
    cases, test, hardware = record["data"]["cases"], record["test"]["summary"], record["environment"]["hardware"]
    return (
        f"Trained for {record['cost']['wall_seconds'] / 60:.0f} minutes on {hardware['gpu'] or 'a CPU'} with "
        f"{cases['train']} public chest radiographs, the network that the paper's text describes "
        f"({record['model']['params']:,} parameters) finds the lungs in {test['cases']} radiographs that it never saw "
        f"with a mean DSC of **{test['dsc']['mean']:.3f}**."
    )


def record_facts(records: dict[str, dict], rates: int) -> str:
    """The table of book/checklist.md: how many runs, seeds, hours, machines, and what stands in for what is missing."""
    runs = list(records.values())
    hardware = [run["environment"]["hardware"] for run in runs]
    cases = {run["data"]["name"]: sum(run["data"]["cases"].values()) for run in runs}
    seeds = {}
    for run in runs:
        model = run["config"]["model"]
        key = run["data"]["name"], str(run["config"]["data"]["size"]), model["name"], str(model["options"])
        seeds.setdefault(key, set()).add(run["seed"])
    commits = [run["environment"]["git"] for run in runs]
    rows = [
        ("training runs with test scores", len(runs)),
        ("runs that chose a learning rate, scored on validation cases", rates),
        ("networks and variants", len({key[2:] for key in seeds})),
        ("of which with three seeds or more on one set", len({k[2:] for k, s in seeds.items() if len(s) >= 3})),
        ("hours of training", f"{sum(run['cost']['wall_seconds'] for run in runs) / 3600:.1f}"),
        ("cases", "; ".join(f"{name}: {n}" for name, n in sorted(cases.items()))),
        ("machines", "; ".join(sorted({h["gpu"] or f"{h['cpu']}, no GPU" for h in hardware}))),
        ("runs of a clean commit", f"{sum(bool(c['commit']) and not c['dirty'] for c in commits)} of {len(runs)}"),
    ]
    return markdown_table(("what", "recorded"), rows, ":--") + "\n"


def facts(durations: dict[str, float], run: Path) -> str:
    """The small training run, the time of each chapter (name -> seconds), and the machine that did it."""
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    return (
        "\n\n".join([describe_run(record), describe_times(durations), describe_machine(record["environment"])]) + "\n"
    )


def describe_run(record: dict) -> str:
    cases, test, cost = record["data"]["cases"], record["test"]["summary"], record["cost"]
    kind = "synthetic cases" if record["data"]["synthetic"] else "cases"
    rows = [
        ("data", f"{record['data']['name']}: {sum(cases.values())} {kind}, {cases['train']} of them to train on"),
        ("network", f"{record['model']['name']}, {record['model']['params']:,} parameters"),
        ("epochs", len(record["curve"])),
        ("wall time", f"{cost['wall_seconds']:.0f} s on {cost['device']}"),
        (f"mean DSC of {test['cases']} held-out cases", f"{test['dsc']['mean']:.3f}"),
        (f"mean IoU of {test['cases']} held-out cases", f"{test['iou']['mean']:.3f}"),
    ]
    alt = f"Loss and scores over the {len(record['curve'])} epochs of the training run of this build"
    return (
        "## The training run\n\n"
        "`lightm train smoke` ran first, to show that the whole chain works here.\
\
"
        + markdown_table(("what", "measured"), rows, ":--")
        + f"\n\n```{{image}} {CURVES}\n:alt: {alt}\n```"
    )


def describe_times(durations: dict[str, float]) -> str:
    rows = [(f"{{doc}}`../notebooks/{name}`", f"{seconds:.0f}") for name, seconds in durations.items()]
    rows.append(("all chapters", f"{sum(durations.values()):.0f}"))
    note = "The build runs chapters side by side, two where there are two cores; alone, a chapter may take less.\n\n"
    return "## The time each chapter took\n\n" + note + markdown_table(("chapter", "seconds"), rows, ":--")


def describe_machine(environment: dict) -> str:
    hardware, versions, git = environment["hardware"], environment["versions"], environment["git"]
    rows = [(name, value) for name, value in hardware.items() if value is not None]
    rows += [("commit", git.get("commit") or "not known"), *versions.items()]
    return "## The machine and the versions\n\n" + markdown_table(("what", "value"), rows, ":--")
