"""Checks of what the paper says about the network, on the networks of this package: their tensors and their counts."""

import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from lightm_book.paper.claim import Check, Finding, Verdict
from lightm_book.paper.digits import numbers, shown
from lightm_book.paper.evidence import Evidence

TEXT = "lightm-unet"
FIRST, SECOND = "lightm-unet-released-2024-03-17", "lightm-unet-released-2024-03-29"
WORDS = {"one": 1, "two": 2, "three": 3, "four": 4}
ALMOST_NONE = Fraction(1, 1000)  # "almost no introduction of new parameters": below 0.1 % counts as almost none

Shapes = list[tuple[int, ...]]


def needs(*names: str) -> Callable[[Check], Check]:
    """The check is open as long as the package lacks one of these networks."""

    def wrap(check: Check) -> Check:
        def checked(quote: str, evidence: Evidence) -> Finding:
            for name in names:
                if name not in evidence.networks.names:
                    return Finding(Verdict.OPEN, f"`{name}` is not in the package yet.")
            return check(quote, evidence)

        return checked

    return wrap


def tensors(
    network: str,
    pattern: str,
    holds: Callable[[Shapes], bool],
    note: str,
    yes: Verdict = Verdict.REPRODUCED,
    no: Verdict = Verdict.CONTRADICTED,
    dims: int = 3,
) -> Check:
    """`holds` of the shapes of the network's tensors whose names match; `note` may use {n} and {shape} of the first."""

    @needs(network)
    def check(quote: str, evidence: Evidence) -> Finding:
        found = [s for name, s in evidence.networks.shapes(network, dims).items() if re.search(pattern, name)]
        shape = " × ".join(map(str, found[0])) if found else "none"
        return Finding(yes if holds(found) else no, f"`{network}`: {note.format(n=len(found), shape=shape)}")

    return check


def ratio_of_tensors(network: str, pattern: str, per: str, times: int, note: str) -> Check:
    """There are `times` as many tensors that match `pattern` as match `per`."""

    @needs(network)
    def check(quote: str, evidence: Evidence) -> Finding:
        names = evidence.networks.shapes(network, 3)
        many, layers = (sum(bool(re.search(p, name)) for name in names) for p in (pattern, per))
        same = layers > 0 and many == times * layers
        text = f"`{network}`: {note.format(many=many, layers=layers)}"
        return Finding(Verdict.REPRODUCED if same else Verdict.CONTRADICTED, text)

    return check


def layers_in_encoder(network: str, stage: str, note: str = "") -> Check:
    """The quote's last three numbers are the RVM layers of the three Encoder Blocks; `stage` catches the block."""

    @needs(network)
    def check(quote: str, evidence: Evidence) -> Finding:
        said = [int(n) for n in numbers(quote)[-3:]]
        found = Counter(m[1] for name in evidence.networks.shapes(network, 3) if (m := re.search(stage, name)))
        layers = [found[key] for key in sorted(found)]
        text = f"`{network}`: {', '.join(map(str, layers))} RVM layers{note}."
        return Finding(Verdict.REPRODUCED if layers == said else Verdict.CONTRADICTED, text)

    return check


def as_many(network: str, pattern: str, what: str) -> Check:
    """The quote's number word is the number of tensors that match, one for each `what`."""

    @needs(network)
    def check(quote: str, evidence: Evidence) -> Finding:
        said = next(WORDS[word] for word in quote.split() if word in WORDS)
        found = sum(bool(re.search(pattern, name)) for name in evidence.networks.shapes(network, 3))
        text = f"`{network}`: {found} {what}."
        return Finding(Verdict.REPRODUCED if found == said else Verdict.CONTRADICTED, text)

    return check


def only_in(network: str, block: str, layer: str) -> Check:
    """Every tensor whose name matches `block` also matches `layer`."""

    @needs(network)
    def check(quote: str, evidence: Evidence) -> Finding:
        names = [name for name in evidence.networks.shapes(network, 3) if re.search(block, name)]
        outside = [name for name in names if not re.search(layer, name)]
        verdict = Verdict.REPRODUCED if names and not outside else Verdict.CONTRADICTED
        return Finding(verdict, f"`{network}`: {len(names) - len(outside)} of {len(names)} tensors.")

    return check


def expansion(network: str, pattern: str, branches: int) -> Check:
    """The channel expansion of every layer is one number; the text names it without its value."""

    @needs(network)
    def check(quote: str, evidence: Evidence) -> Finding:
        found = [s for name, s in evidence.networks.shapes(network, 3).items() if re.search(pattern, name)]
        values = {Fraction(rows, branches * columns) for rows, columns in found}
        if len(values) != 1 or numbers(quote):
            return Finding(Verdict.CONTRADICTED, f"`{network}`: {sorted(map(str, values))}.")
        return Finding(Verdict.CONVENTION, f"The text gives no value; `{network}` has λ = {values.pop()}; so here.")

    return check


def linear_cost(network: str = TEXT) -> Check:
    """Four times the pixels cost four times the MACs, exactly."""

    @needs(network)
    def check(quote: str, evidence: Evidence) -> Finding:
        small, large = (evidence.networks.count(network, 2, (n, n)).macs for n in (128, 256))
        grown = shown(Fraction(large, small), 3)
        note = f"`{network}`: {small:,} MACs for 128 × 128 pixels, {large:,} for 256 × 256, {grown} times as many."
        return Finding(Verdict.REPRODUCED if large == 4 * small else Verdict.CONTRADICTED, note)

    return check


@needs("paper-attention")
def quadratic_attention(quote: str, evidence: Evidence) -> Finding:
    """MACs of a network with self-attention over all tokens: a polynomial a L + b L^2 in the pixels, with b > 0."""
    sizes = (64, 128, 256)
    cost = [Fraction(evidence.networks.count("paper-attention", 2, (n, n)).macs) for n in sizes]
    x1, x2, x3 = (Fraction(n * n) for n in sizes)
    b = (cost[1] / x2 - cost[0] / x1) / (x2 - x1)
    a = cost[0] / x1 - b * x1
    exact = a * x3 + b * x3**2 == cost[2]
    note = (
        f"`paper-attention` (attention over all tokens of the bottleneck): four times the pixels cost "
        f"{shown(cost[1] / cost[0])}, then {shown(cost[2] / cost[1])} times the MACs"
        f"{', exactly a L + b L² with b > 0' if exact and b > 0 else ''}. "
        "Attention within windows, as SwinUNETR's, is linear."
    )
    return Finding(Verdict.REPRODUCED if exact and b > 0 else Verdict.CONTRADICTED, note)


def little_more(*without: str, full: str = TEXT) -> Check:
    """The full network has at most 0.1 % more parameters and MACs than without the named parts, in 2D and 3D."""

    @needs(full, *without)
    def check(quote: str, evidence: Evidence) -> Finding:
        saved, fits = set(), True
        for dims in (2, 3):
            whole = evidence.networks.count(full, dims)
            for name in without:
                less = evidence.networks.count(name, dims)
                params, macs = whole.params - less.params, whole.macs - less.macs
                fits = fits and 0 <= params <= ALMOST_NONE * whole.params and 0 <= macs <= ALMOST_NONE * whole.macs
                saved.add((params, macs, shown(Fraction(100 * params, whole.params))))
        parts = " or ".join(
            f"{params:,} parameters ({share} %) and {macs:,} MACs" for params, macs, share in sorted(saved)
        )
        names = "` and `".join(without)
        note = f"`{full}` has {parts} more than `{names}`, in 2D and 3D. Element-wise products are not counted as MACs."
        return Finding(Verdict.REPRODUCED if fits else Verdict.CONTRADICTED, note)

    return check


@needs(TEXT)
def both_versions(quote: str, evidence: Evidence) -> Finding:
    """The network runs on the image sizes of both data sets."""
    counts = {dims: evidence.networks.count(TEXT, dims) for dims in (2, 3)}
    note = ", ".join(f"{dims}D: {c.params:,} parameters for an image {c.input_shape}" for dims, c in counts.items())
    return Finding(Verdict.REPRODUCED, f"`{TEXT}`, {note}.")


@needs(FIRST, SECOND)
def code_is_public(quote: str, evidence: Evidence) -> Finding:
    """Both public uploads are rebuilt here under their own names of modules."""
    note = "Both uploads, of 2024-03-17 and 2024-03-29, are rebuilt here. Splits, logs and weights are not among them."
    return Finding(Verdict.REPRODUCED, note)


RIVALS = ("nnunet", "segresnet", "unetr", "swin-unetr", "u-mamba-bot")


@needs(*RIVALS)
def rivals_exist(quote: str, evidence: Evidence) -> Finding:
    """The five networks that LightM-UNet is compared with can be built here."""
    return Finding(Verdict.REPRODUCED, f"`{'`, `'.join(RIVALS)}`, at the settings whose counts are the printed ones.")


def data_is_public(quote: str, evidence: Evidence) -> Finding:
    """Both data sets have a reader here."""
    from lightm.data import list_datasets

    known = {info.name for info in list_datasets()}
    names = [evidence.tables[number].dataset for number in (1, 2)]
    note = f"Both are read by name here: `{'`, `'.join(names)}`."
    return Finding(Verdict.REPRODUCED if known.issuperset(names) else Verdict.OPEN, note)
