"""LightM-UNet's parameters and MACs as polynomials, and sliders that evaluate them in a page, with no kernel behind it.

The polynomials are data, so that Python and the page evaluate the same ones. The tests hold them, to the last unit,
against `lightm.counting.count`, which watches the network itself and has the convention.

A polynomial is a dict of monomials: {"C D": 3, "D": 9} is 3 C D + 9 D. Its letters:
C channels of the layer, D = expansion C, R = ceil(C / 16) the rank of Δ, N states, M channels after the layer, k = 3^d
elements of a filter, I image channels, K classes, W channels after the stem.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from html import escape

from lightm.errors import LightMError
from lightm.models.checks import check_counts, check_spatial_dims
from lightm_book.show.figures import COLORS

Polynomial = Mapping[str, int]

# Of each part: parameters, and MACs for one pixel (token) of the resolution at which it works.
PARTS: Mapping[str, tuple[Polynomial, Polynomial]] = {
    "stem": ({"k I": 1, "I": 1, "I W": 1, "W": 1}, {"k I": 1, "I W": 1}),  # depthwise + bias, pointwise + bias
    # An RVM layer: in_proj, gate_proj and out_proj 3CD; dwconv (k + 1)D; x_proj D(R + 2N), dt_proj RD and its bias D;
    # A_log DN; the skip D; LayerNorms 2D + 2C + 2C; s C; proj CM + M. The scan: D(4N + 2) MACs a token.
    "layer": (
        {"C D": 3, "k D": 1, "D R": 2, "D N": 3, "D": 5, "C": 5, "C M": 1, "M": 1},
        {"C D": 3, "k D": 1, "D R": 2, "D N": 6, "D": 2, "C M": 1},
    ),
    # Decoder block: dwconv (k + 1)C + C² + C; s' C; the pointwise convolution C M + M that halves, M = C / 2.
    "decoder": ({"k C": 1, "C C": 1, "C": 3, "C M": 1, "M": 1}, {"k C": 1, "C C": 1, "C M": 1}),
    "head": ({"k W": 1, "W": 1, "W K": 1, "K": 1}, {"k W": 1, "W K": 1}),
}


def evaluate(polynomial: Polynomial, values: Mapping[str, int]) -> int:
    """The polynomial's value: {"C D": 3} at C = 2, D = 4 is 24."""
    return sum(n * math.prod(values[letter] for letter in letters.split()) for letters, n in polynomial.items())


@dataclass(frozen=True)
class Knobs:
    """What the sliders set. size: pixels along each axis; encoder: layers of blocks 2 and 3 (the first has one)."""

    dims: int = 2
    size: int = 512
    width: int = 32
    expansion: int = 2
    states: int = 16
    encoder: int = 2
    bottleneck: int = 4


CHANNELS = {2: (3, 2), 3: (1, 3)}  # of the image, and classes, as in the paper's two data sets


def stages(knobs: Knobs) -> dict[str, tuple[int, int]]:
    """Parameters and MACs of each stage of LightMUNet for one image: name -> (parameters, MACs), exact."""
    check_spatial_dims(knobs.dims)
    check_counts(**{name: value for name, value in vars(knobs).items() if name != "dims"})
    if knobs.size % 8:
        raise LightMError(f"size={knobs.size} must be a multiple of 8, for three poolings.")
    image, classes = CHANNELS[knobs.dims]
    fixed = {"I": image, "K": classes, "W": knobs.width, "N": knobs.states, "k": 3**knobs.dims}

    def part(name: str, level: int, after: float = 1, copies: int = 1) -> tuple[int, int]:
        c = knobs.width * 2**level
        d = knobs.expansion * c
        values = {**fixed, "C": c, "D": d, "R": math.ceil(c / 16), "M": int(c * after)}
        params, macs = (copies * evaluate(polynomial, values) for polynomial in PARTS[name])
        return params, macs * (knobs.size // 2**level) ** knobs.dims

    def block(level: int, depth: int) -> tuple[int, int]:  # the last layer doubles the channels
        return tuple(map(sum, zip(part("layer", level, 1, depth - 1), part("layer", level, 2), strict=True)))

    return {
        "stem": part("stem", 0),
        "encoder 1": block(0, 1),
        "encoder 2": block(1, knobs.encoder),
        "encoder 3": block(2, knobs.encoder),
        "bottleneck": part("layer", 3, 1, knobs.bottleneck),
        "decoder 3": part("decoder", 3, 0.5),
        "decoder 2": part("decoder", 2, 0.5),
        "decoder 1": part("decoder", 1, 0.5),
        "head": part("head", 0),
    }


def totals(knobs: Knobs) -> tuple[int, int]:
    """Parameters and MACs of the whole network."""
    return tuple(map(sum, zip(*stages(knobs).values(), strict=True)))


# name, what the slider says, lowest, highest, step; the size is in units of its step for either dimension
SLIDERS = (
    ("width", "width: channels after the stem", 4, 64, 4),
    ("expansion", "expansion λ", 1, 4, 1),
    ("states", "states N", 1, 64, 1),
    ("encoder", "depth: RVM layers of encoder blocks 2 and 3, each", 1, 6, 1),
    ("bottleneck", "depth: RVM layers of the bottleneck", 1, 12, 1),
    ("size", "image size: pixels along each axis", 32, 1024, 32),
)
MAX_SIZE = {2: 1024, 3: 256}

# The same sums as in `stages`, in the page. `this` is the form; the handler is an attribute, as in frames_slider.
SCRIPT = """
const form=this,parts=PARTS,channels=CHANNELS,most=MOST,v={},el=name=>form.elements[name];
v.dims=+form.querySelector('input[type=radio]:checked').value;
el('size').max=most[v.dims];
if(event&&event.target.type==='radio')el('size').value=v.dims===2?512:128;
for(const name of NAMES){v[name]=+el(name).value;el(name).nextElementSibling.value=v[name];}
const fixed={I:channels[v.dims][0],K:channels[v.dims][1],W:v.width,N:v.states,k:3**v.dims};
const value=(p,x)=>Object.entries(p).reduce((s,[m,n])=>s+n*m.split(' ').reduce((a,b)=>a*x[b],1),0);
const part=(name,level,after,copies)=>{const c=v.width*2**level,
x={...fixed,C:c,D:v.expansion*c,R:Math.ceil(c/16),M:c*after};
return [copies*value(parts[name][0],x),copies*value(parts[name][1],x)*(v.size/2**level)**v.dims];};
const sum=rows=>rows.reduce((a,b)=>[a[0]+b[0],a[1]+b[1]],[0,0]);
const block=(level,depth)=>sum([part('layer',level,1,depth-1),part('layer',level,2,1)]);
const rows=[part('stem',0,1,1),block(0,1),block(1,v.encoder),block(2,v.encoder),part('layer',3,1,v.bottleneck),
part('decoder',3,.5,1),part('decoder',2,.5,1),part('decoder',1,.5,1),part('head',0,1,1)];
const total=sum(rows),text=n=>n.toLocaleString('en-US');
form.querySelectorAll('tr[data-row]').forEach(tr=>{const r=tr.dataset.row==='total'?total:rows[tr.dataset.row];
tr.querySelectorAll('td').forEach((td,i)=>{td.firstElementChild.textContent=text(r[i]);
const bar=td.querySelector('i');if(bar)bar.style.width=100*r[i]/total[i]+'%';});});
form.querySelector('output[name=said]').value=(total[0]/1e6).toFixed(2)+' M parameters, '
+(total[1]/1e9).toFixed(2)+' GMACs';
"""

STYLE = """.lightm-explorer{max-width:44rem}
.lightm-explorer label{display:grid;grid-template-columns:minmax(9em,1fr) 1fr 3.5em;gap:.2em .75em;align-items:center}
.lightm-explorer input[type=range]{width:100%;height:2.2em;accent-color:BLUE}
.lightm-explorer fieldset{border:0;padding:0;margin:0}
.lightm-explorer fieldset label{display:inline-block;margin-right:1.5em}
.lightm-explorer table{width:100%;table-layout:fixed;border-collapse:collapse;margin:.5em 0}
.lightm-explorer th{text-align:left;font-weight:normal}
.lightm-explorer thead th:first-child{width:24%}
.lightm-explorer thead th+th,.lightm-explorer td{text-align:right;padding:.1em .3em;font-variant-numeric:tabular-nums}
.lightm-explorer i{display:block;height:.4em;margin-left:auto;background:BLUE}
.lightm-explorer td+td i{background:RED}
.lightm-explorer [name=said],.lightm-explorer tr:last-child *{font-weight:bold}
@media(max-width:30em){.lightm-explorer td{font-size:.8em}}"""


class Explorer:
    """HTML for a browser, one sentence where there is none."""

    def __init__(self, html: str, text: str):
        self.html, self.text = html, text

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def explorer(start: Knobs = Knobs()) -> Explorer:
    """Sliders for the knobs, and a table with bars of each stage's parameters and MACs that follows them.

    One self-contained form: it asks nothing from a network or a kernel, works from file://, with the keyboard, and
    without JavaScript shows `start`. Labels are read out, and so is the total when it changes.
    """
    rows, total = stages(start), totals(start)
    names = [name for name, *_ in SLIDERS]
    filled = {"PARTS": PARTS, "CHANNELS": CHANNELS, "MOST": MAX_SIZE, "NAMES": names}
    script = SCRIPT.strip().replace("\n", "")
    for word, value in filled.items():
        script = script.replace(word, json.dumps(value, separators=(",", ":")))
    key = sha256(f"{script}{start}".encode()).hexdigest()[:8]

    def cells(counts: tuple[int, int], bars: bool) -> str:
        shares = (
            f'<i style="width:{100 * n / whole:.4g}%"></i>' if bars else ""
            for n, whole in zip(counts, total, strict=True)
        )
        return "".join(f"<td><span>{n:,}</span>{bar}</td>" for n, bar in zip(counts, shares, strict=True))

    def slider(name: str, says: str, low: int, high: int, step: int) -> str:
        value, high = getattr(start, name), MAX_SIZE[start.dims] if name == "size" else high
        return (
            f'<label><span>{escape(says)}</span><input type="range" name="{name}" id="{name}-{key}" min="{low}" '
            f'max="{high}" step="{step}" value="{value}" autocomplete="off"><output for="{name}-{key}">{value}'
            "</output></label>"
        )

    radios = "".join(
        f'<label><input type="radio" name="dims-{key}" value="{d}" autocomplete="off"{" checked" * (d == start.dims)}> '
        f"{d}D, {CHANNELS[d][0]} channel{'s' * (CHANNELS[d][0] > 1)}, {CHANNELS[d][1]} classes</label>"
        for d in CHANNELS
    )
    body = "".join(
        f'<tr data-row="{n}"><th scope="row">{name}</th>{cells(counts, True)}</tr>'
        for n, (name, counts) in enumerate(rows.items())
    )
    said = f"{total[0] / 1e6:.2f} M parameters, {total[1] / 1e9:.2f} GMACs"
    html = (
        f"<style>{STYLE.replace('BLUE', COLORS[0]).replace('RED', COLORS[1])}</style>\n"
        f'<form class="lightm-explorer" autocomplete="off" aria-label="Explorer of LightM-UNet\'s parameters and MACs" '
        f'onsubmit="return false" oninput="{escape(script)}">\n'
        f"<fieldset>{radios}</fieldset>\n" + "\n".join(slider(*s) for s in SLIDERS) + "\n"
        f'<p>Whole network: <output name="said" aria-live="polite">{said}</output></p>\n'
        '<table><thead><tr><th scope="col">stage</th><th scope="col">parameters</th><th scope="col">MACs, one image'
        f'</th></tr></thead><tbody>{body}<tr data-row="total"><th scope="row">total</th>{cells(total, False)}</tr>'
        "</tbody></table></form>"
    )
    return Explorer(html, f"[explorer of parameters and MACs; at first: {said}]")
