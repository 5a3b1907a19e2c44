"""Checks of the text against itself, against its reference list and against the lines of the released code."""

from decimal import Decimal
from fractions import Fraction

from lightm_book.paper.claim import Claim, Finding, Kind, Sort, Verdict, check, holds
from lightm_book.paper.digits import agrees, numbers, shown
from lightm_book.paper.evidence import Evidence
from lightm_book.paper.settings import setting
from lightm_book.paper.sources import CODE, PUBLIC_CASES, TRAINERS
from lightm_book.paper.tables import OURS


@check(Kind.WORDING, Sort.READ)
def read(claim: Claim, evidence: Evidence, verdict: str, note: str) -> Finding:
    """For what only reading or looking decides, or nothing can; `note` says what was seen, or why not."""
    return Finding(Verdict[verdict.upper()], note)


@check(Kind.WORDING, Sort.READ)
def says(claim: Claim, evidence: Evidence, words: list[str], yes: str, no: str) -> Finding:
    """The quote has one of these words."""
    true = any(word in claim.quote.lower() for word in words)
    return Finding(holds(true), yes if true else no)


@check(Kind.METHOD, Sort.ONE_SIDED)
def split_sizes(claim: Claim, evidence: Evidence, dataset: str, released: str, also: str = "") -> Finding:
    """The training cases of the released data set file are the quoted share of all public cases."""
    ratio, cases = numbers(claim.quote), PUBLIC_CASES[dataset]
    share, train = Fraction(ratio[0]) / Fraction(sum(ratio)), numbers(CODE[released].quote)[0]
    fits = agrees(train, share * cases)
    note = (
        f"Their data set file counts {train} training cases; {shown(100 * share, 0)} % of the {cases} public ones "
        f"are {shown(share * cases, 1)}. The split itself was not published. {also}"
    )
    return Finding(Verdict.REPRODUCED if fits else Verdict.OPEN, note.strip())


@check(Kind.METHOD)
def in_trainers(claim: Claim, evidence: Evidence, what: str) -> Finding:
    """The quote's optimiser, learning rate or schedule is that of all trainers of the authors, or of LightM-UNet's."""
    found: dict[str, list[str]] = {}
    for row, settings in TRAINERS.items():
        found.setdefault(settings[what], []).append(row)
    said = next((value for value in sorted(found, key=len, reverse=True) if value in claim.quote), "")
    listed = (f"{value} ({', '.join(rows)})" for value, rows in found.items())
    sgd, rate = setting("optimiser", 2).value, setting("learning rate", 2).value[0]
    both = [r for r, t in TRAINERS.items() if t["optimiser"] == sgd and Decimal(t["learning rate"]) == rate]
    note = (
        f"In their trainers {'; '.join(listed)}. {sgd} together with {float(rate):g} is in {', '.join(both) or 'none'} "
        "of them. Which of them trained the networks of the tables is not known."
    )
    if len(found.get(said, ())) == len(TRAINERS):
        return Finding(Verdict.REPRODUCED, note)
    return Finding(Verdict.CONVENTION if OURS in found.get(said, ()) else Verdict.CONTRADICTED, note)


@check(Kind.METHOD)
def in_code(
    claim: Claim, evidence: Evidence, line: str, word="", code_word="", also="", also_line=""
) -> Finding:
    """The line `line` of the released code has the quote's number, or (with `word`) the same thing by its name there.

    word: what the quote calls it. code_word: what the code would, by default the same. also_line: another line, and
    also: a sentence, for the note.
    """
    quoted = CODE[line].quote
    if word:
        same = word in claim.quote and (code_word or word) in quoted
    else:
        same = numbers(claim.quote)[-1] in numbers(quoted)
    lines = " and ".join(f"`{CODE[key].quote}`" for key in (line, also_line) if key)
    return Finding(holds(same), f"{CODE[line].text.capitalize()} has {lines}. {also}".strip())
