"""Checks of the text against itself, against its reference list and against the lines of the released code."""

from fractions import Fraction

from lightm_book.paper.claim import Check, Finding, Verdict
from lightm_book.paper.digits import agrees, numbers, shown
from lightm_book.paper.evidence import CHANNELS, Evidence
from lightm_book.paper.sources import CODE, PUBLIC_CASES


def read(verdict: Verdict, note: str) -> Check:
    """For what only reading or looking decides; `note` says what was seen."""
    return lambda quote, evidence: Finding(verdict, note)


def untestable(note: str) -> Check:
    """For statements that no number and no run of ours can decide; `note` says why."""
    return read(Verdict.UNTESTABLE, note)


def order_of_versions(quote: str, evidence: Evidence) -> Finding:
    """ "Respectively": the data sets are named 3D first; are the versions?"""
    versions = [int(word[0]) for word in quote.split() if word in ("2D", "3D")]
    datasets = [evidence.tables[number].dims for number in (1, 2)]  # LiTS, then Montgomery&Shenzhen, as in the text
    shown_as = [", then ".join(f"{d}D" for d in dims) for dims in (datasets, versions)]
    note = f"The data sets are named in the order {shown_as[0]}; the versions in the order {shown_as[1]}."
    return Finding(Verdict.REPRODUCED if versions == datasets else Verdict.CONTRADICTED, note)


def reference_names(*words: str) -> Check:
    """The quoted title names one of these words."""

    def check(quote: str, evidence: Evidence) -> Finding:
        if any(word in quote.lower() for word in words):
            return Finding(Verdict.REPRODUCED, "The title of the reference names its subject.")
        note = "Cited for the LiTS data set; the title is about image restoration. The data set's is reference 1."
        return Finding(Verdict.CONTRADICTED, note)

    return check


def block_index(quote: str, evidence: Evidence) -> Finding:
    """Sections 2.1 and 2.2 give the first Encoder Block the same input (channels, divisor of the resolution)."""
    width, first = int(numbers(quote)[0]), 1
    overview = (width, 1)  # F_S in R^(32 x H x W x D)
    block = (width * 2**first, 2**first)  # F^l in R^((32 * 2^l) x H/2^l x W/2^l x D/2^l)
    note = (
        f"Section 2.1 feeds the first block F_S, {overview[0]} channels at full resolution. By Section 2.2 its input "
        f"(l = {first}) has {width} × 2 = {block[0]} channels at half of it. The indices are one apart; the "
        "shapes of Section 2.1 fit together, and we follow them."
    )
    return Finding(Verdict.REPRODUCED if overview == block else Verdict.CONTRADICTED, note)


def interpolation_axes(quote: str, evidence: Evidence) -> Finding:
    """Linear, bilinear, trilinear: one, two, three axes; does the quoted word suit both versions?"""
    axes = next(n for word, n in (("trilinear", 3), ("bilinear", 2), ("linear", 1)) if word in quote)
    if all(table.dims == axes for table in evidence.tables.values()):
        return Finding(Verdict.REPRODUCED, "The word suits every version.")
    note = "Section 2 describes the 3D version; a volume is interpolated along three axes (trilinear), so also here."
    return Finding(Verdict.CONVENTION, note)


def depthwise_alone(quote: str, evidence: Evidence) -> Finding:
    """A purely depthwise convolution has a whole number of outputs for each input channel."""
    width = int(numbers(quote)[0])
    misfits = [f"{width} → {classes}" for _, classes in CHANNELS.values() if classes % width]
    if not misfits:
        return Finding(Verdict.REPRODUCED, "Every output has its input channel.")
    note = (
        f"A depthwise convolution alone cannot map {' or '.join(misfits)} channels. Followed by a pointwise one "
        "(depthwise separable, as in the released code of 2024-03-29) it can; so here."
    )
    return Finding(Verdict.CONVENTION, note)


def split_sizes(dataset: str, released: str) -> Check:
    """The training cases of the released data set file are the quoted share of all public cases."""

    def check(quote: str, evidence: Evidence) -> Finding:
        ratio, cases = numbers(quote), PUBLIC_CASES[dataset]
        share, train = Fraction(ratio[0]) / Fraction(sum(ratio)), numbers(CODE[released].quote)[0]
        fits = agrees(train, share * cases)
        note = (
            f"Their data set file counts {train} training cases; {shown(100 * share, 0)} % of the {cases} public ones "
            f"are {shown(share * cases, 1)}. The split itself was not published."
        )
        return Finding(Verdict.REPRODUCED if fits else Verdict.OPEN, note)

    return check


def in_code(key: str, word: str = "", code_word: str = "", also: str = "", also_line: str = "") -> Check:
    """The line `key` of the released code has the quote's number, or (with `word`) the same thing by its name there.

    word: what the quote calls it. code_word: what the code would, by default the same. also_line: another line, and
    also: a sentence, for the note.
    """

    def check(quote: str, evidence: Evidence) -> Finding:
        line = CODE[key].quote
        if word:
            same = word in quote and (code_word or word) in line
        else:
            same = numbers(quote)[-1] in numbers(line)
        lines = " and ".join(f"`{CODE[k].quote}`" for k in (key, also_line) if k)
        note = f"{CODE[key].text.capitalize()} has {lines}. {also}".strip()
        return Finding(Verdict.REPRODUCED if same else Verdict.CONTRADICTED, note)

    return check
