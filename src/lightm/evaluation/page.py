"""The result as one HTML page that needs nothing else: no script, no font, no request."""

from html import escape
from pathlib import Path
from typing import Any

from lightm.data.reading.faults import shown
from lightm.evaluation.figures import distribution, error_map
from lightm.evaluation.pairs import Pair, match, read_pair
from lightm.evaluation.scores import DISTANCES, METRICS, NAMES
from lightm.evaluation.summary import sentence, show, worst_cases

WORST = 3  # cases drawn for each class

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8886; }
th:first-child, td:first-child { text-align: left; }
td small { display: block; opacity: .75; }
blockquote { margin: 1rem 0; padding: .5rem 1rem; border-left: 4px solid #0072b2; }
figure { display: inline-block; margin: .5rem 1rem .5rem 0; vertical-align: top; max-width: 100%; }
figure img { max-width: 100%; height: auto; background: #fff; }
figcaption { font-size: .9rem; max-width: 26rem; }
.scroll { overflow-x: auto; }
"""

_RULE = (
    "Empty masks: where the structure is in the label map and not in the prediction (missed), or the reverse "
    "(invented), DSC, IoU and NSD are 0 and there is no distance; where it is in neither (absent), there is no score "
    "at all. What has no score is left out of the mean; the column of cases says how many count for the DSC."
)


def page(result: dict[str, Any], accept_geometry: bool = False) -> str:
    """The report of `evaluate_folders`: the sentence, the table, distributions, worst cases drawn from the files.

    The folders that the result names are read again for the drawings of the worst cases.
    """
    parts = [f"<blockquote><p>{escape(sentence(result))}</p></blockquote>", _table(result), f"<p>{escape(_RULE)}</p>"]
    if "comparison" in result:
        parts += ["<h2>Paired comparison</h2>", _comparison(result)]
    parts += ["<h2>Distribution</h2>", *(_distribution(result, metric) for metric in ("dsc", "hd95"))]
    parts += ["<h2>Worst cases</h2>", _worst(result, accept_geometry), "<h2>All cases</h2>", _cases(result)]
    title = f"Scores of {shown(Path(result['predictions']).name)} against {shown(Path(result['labels']).name)}"
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def _heading(result: dict[str, Any], metric: str) -> str:
    unit = f" ({result['unit']})" if metric in DISTANCES else ""
    at = f" at {result['tolerance']:g} {result['unit']}" if metric == "nsd" else ""
    return escape(f"{NAMES[metric]}{at}{unit}")


def _rows(rows: list[list[str]], heads: list[str]) -> str:
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _interval(metric: str, entry: dict[str, Any]) -> str:
    if entry["low"] is None:
        return ""
    return f"<small>{show(metric, entry['low'])} to {show(metric, entry['high'])}</small>"


def _table(result: dict[str, Any]) -> str:
    rows = []
    for name, entry in result["summary"].items():
        cells = [f"{show(m, entry[m]['mean'])}{_interval(m, entry[m])}" for m in METRICS]
        states = ", ".join(f"{n} {state}" for state, n in entry["states"].items() if n)
        rows.append(
            [escape(shown(name)), *cells, escape(f"{entry['dsc']['n']} of {len(result['cases'])}"), escape(states)]
        )
    heads = ["class", *(_heading(result, m) for m in METRICS), "cases that count", "states"]
    return _rows(rows, heads) + "<p>Means over cases with their 95% bootstrap interval (BCa).</p>"


def _comparison(result: dict[str, Any]) -> str:
    rows = []
    for name, metrics in result["comparison"]["difference"].items():
        for metric, d in metrics.items():
            p = "-" if d["p"] is None else f"{d['p']:.4f}"
            mean = f"{show(metric, d['mean'])}{_interval(metric, d)}"
            rows.append([escape(shown(name)), NAMES[metric], mean, p, str(d["n"])])
    other = escape(shown(result["comparison"]["predictions"]))
    note = (
        f"<p>These predictions less those of {other}, case by case; p of a sign-flip permutation test, two-sided, not "
    )
    return note + "corrected for the number of tests.</p>" + _rows(rows, ["class", "score", "difference", "p", "cases"])


def _distribution(result: dict[str, Any], metric: str) -> str:
    values = {shown(n): [c["scores"][n][metric] for c in result["cases"]] for n in result["summary"]}
    source, alt = distribution(values, NAMES[metric], result["unit"] if metric in DISTANCES else "")
    if not source:
        return ""
    return (
        f'<figure><img src="{source}" alt="{escape(alt, quote=True)}"><figcaption>{escape(alt)}</figcaption></figure>'
    )


def _worst(result: dict[str, Any], accept_geometry: bool) -> str:
    pairs: dict[str, Pair] = {pair.case_id: pair for pair in match(result["predictions"], result["labels"])[0]}
    parts = []
    for value, name in result["classes"].items():
        parts.append(f"<h3>{escape(shown(name))}</h3>")
        for case, dsc in worst_cases(result, name, WORST):
            masks = read_pair(pairs[case], accept_geometry)
            spacing = next(c["spacing"] for c in result["cases"] if c["case"] == case)
            source, where = error_map(masks.pred == int(value), masks.true == int(value), spacing)
            caption = f"{shown(case)}: DSC {show('dsc', dsc)}{where}. Line: the label map; dashes: the prediction. "
            caption += "Blue: both; orange: only predicted; purple: only in the label map."
            alt = escape(caption, quote=True)
            parts.append(f'<figure><img src="{source}" alt="{alt}"><figcaption>{escape(caption)}</figcaption></figure>')
    return "\n".join(parts)


def _cases(result: dict[str, Any]) -> str:
    rows = [
        [
            escape(shown(case["case"])),
            escape(shown(name)),
            escape(str(scores["state"])),
            *(show(metric, scores[metric]) for metric in METRICS),
        ]
        for case in result["cases"]
        for name, scores in case["scores"].items()
    ]
    return _rows(rows, ["case", "class", "state", *(_heading(result, m) for m in METRICS)])
