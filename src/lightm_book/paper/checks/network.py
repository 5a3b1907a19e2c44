"""Checks of what the paper says about the network, on the networks of this package: their tensors and their counts."""

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from lightm_book.paper.claim import Claim, Finding, Kind, Sort, Verdict, check, holds
from lightm_book.paper.digits import numbers, shown
from lightm_book.paper.evidence import Evidence

WORDS = {"one": 1, "two": 2, "three": 3, "four": 4}
ALMOST_NONE = Fraction(1, 1000)  # "almost no introduction of new parameters": below 0.1 % counts as almost none


@check(Kind.METHOD)
def tensors(
    claim: Claim,
    evidence: Evidence,
    network: str,
    match: str,
    note: str,
    shape: str = "",
    shapes: Sequence[str] = (),
    number: int | str = 0,
    per: str = "",
    inside: str = "",
    yes: str = "reproduced",
    no: str = "contradicted",
) -> Finding:
    """The tensors of a network (3D) whose names match are as said; there must be some.

    shape:   the shape of each, written 32x1x3x3x3, is this expression
    shapes:  they have these shapes, in this order
    number:  there are so many; "word" or "numbers": as many as the quote says, by a word or, for the tensors in each
             group that `match` catches, by its last numbers
    per:     there are `number` of them for each tensor whose name matches this
    inside:  their names match this, too
    note:    the finding; it may use {n}, {first} (shape), {groups}, {layers} (that match `per`) and {within}
    """
    every = evidence.networks.shapes(network, 3)
    found = {name: (hit, "x".join(map(str, size))) for name, size in every.items() if (hit := re.search(match, name))}
    sizes = [size for _, size in found.values()]
    caught = Counter(hit[1] for hit, _ in found.values() if hit.re.groups)
    groups = [caught[key] for key in sorted(caught)]
    layers = sum(bool(re.search(per, name)) for name in every) if per else 1
    within = sum(bool(re.search(inside, name)) for name in found)
    wanted = {
        "numbers": [int(n) for n in numbers(claim.quote)[-len(groups) :]],
        "word": next((WORDS[word] for word in claim.quote.split() if word in WORDS), None),
    }.get(number, number and number * layers)
    same = (
        bool(found)
        and all(re.fullmatch(shape or ".*", size) for size in sizes)
        and (not shapes or sizes == list(shapes))
        and layers > 0
        and (not wanted or wanted == (groups if number == "numbers" else len(found)))
        and within == len(found)
    )
    said = {"n": len(found), "first": sizes[0].replace("x", " × ") if sizes else "none", "within": within}
    text = note.format(**said, layers=layers, groups=", ".join(map(str, groups)))
    return Finding(Verdict[(yes if same else no).upper()], f"`{network}`: {text}")


@check(Kind.METHOD)
def expansion(claim: Claim, evidence: Evidence, network: str, match: str, branches: int) -> Finding:
    """The channel expansion of every layer is one number; the text names it without its value."""
    found = [shape for name, shape in evidence.networks.shapes(network, 3).items() if re.search(match, name)]
    values = {Fraction(rows, branches * columns) for rows, columns in found}
    if len(values) != 1 or numbers(claim.quote):
        return Finding(Verdict.CONTRADICTED, f"`{network}`: {sorted(map(str, values))}.")
    return Finding(Verdict.CONVENTION, f"The text gives no value; `{network}` has λ = {values.pop()}; so here.")


@check(Kind.METHOD)
def linear(claim: Claim, evidence: Evidence, network: str) -> Finding:
    """Four times the pixels cost four times the MACs, exactly."""
    small, large = (evidence.networks.count(network, 2, (n, n)).macs for n in (128, 256))
    grown = shown(Fraction(large, small), 3)
    note = f"`{network}`: {small:,} MACs for 128 × 128 pixels, {large:,} for 256 × 256, {grown} times as many."
    return Finding(holds(large == 4 * small), note)


@check(Kind.METHOD)
def quadratic(claim: Claim, evidence: Evidence, networks: list[str]) -> Finding:
    """MACs of these networks grow as a L + b L^2 in the number of pixels L, with b > 0: exactly, over three sizes."""
    parts, found = [], []
    x1, x2, x3 = (Fraction(n * n) for n in (128, 256, 512))
    for network in networks:
        cost = [Fraction(evidence.networks.count(network, 2, (n, n)).macs) for n in (128, 256, 512)]
        b = (cost[1] / x2 - cost[0] / x1) / (x2 - x1)
        a = cost[0] / x1 - b * x1
        found.append(b > 0 and a * x3 + b * x3**2 == cost[2])
        kind = "exactly a L + b L² with b > 0" if found[-1] else "not quadratic"
        times = ", then ".join(shown(cost[n + 1] / cost[n]) for n in (0, 1))
        parts.append(f"`{network}` {times} times the MACs, {kind}")
    note = f"Four times the pixels cost {'; '.join(parts)}."
    if any(found) and not all(found):
        return Finding(Verdict.CONVENTION, f"{note} So it is true of attention over all tokens, not within windows.")
    return Finding(holds(all(found)), note)


@check(Kind.METHOD)
def little_more(claim: Claim, evidence: Evidence, full: str, without: list[str]) -> Finding:
    """The full network has at most 0.1 % more parameters and MACs than without the named parts, in 2D and 3D."""
    saved, fits = set(), True
    for dims in (2, 3):
        whole = evidence.networks.count(full, dims)
        for name in without:
            less = evidence.networks.count(name, dims)
            params, macs = whole.params - less.params, whole.macs - less.macs
            fits = fits and 0 <= params <= ALMOST_NONE * whole.params and 0 <= macs <= ALMOST_NONE * whole.macs
            saved.add((params, macs, shown(Fraction(100 * params, whole.params))))
    parts = " or ".join(f"{params:,} parameters ({share} %) and {macs:,} MACs" for params, macs, share in sorted(saved))
    names = "` and `".join(without)
    note = f"`{full}` has {parts} more than `{names}`, in 2D and 3D. Element-wise products are not counted as MACs."
    return Finding(holds(fits), note)


@check(Kind.METHOD, Sort.BUILT)
def both_versions(claim: Claim, evidence: Evidence, network: str) -> Finding:
    """The network runs on the image sizes of both data sets."""
    counts = {dims: evidence.networks.count(network, dims) for dims in (2, 3)}
    note = ", ".join(f"{dims}D: {c.params:,} parameters for an image {c.input_shape}" for dims, c in counts.items())
    return Finding(Verdict.REPRODUCED, f"`{network}`, {note}.")


@check(Kind.METHOD, Sort.BUILT)
def here(claim: Claim, evidence: Evidence, names: list[str], note: str) -> Finding:
    """These networks can be built, or these data sets read, by name; `note` may use {names}."""
    from lightm.data import list_datasets

    known = evidence.networks.names | {info.name for info in list_datasets()}
    verdict = Verdict.REPRODUCED if known.issuperset(names) else Verdict.OPEN
    return Finding(verdict, note.format(names="`, `".join(names)))
