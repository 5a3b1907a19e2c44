"""Checks of the text against itself, against its reference list and against the lines of the released code."""

from fractions import Fraction

from lightm_book.paper.claim import Claim, Finding, Kind, Verdict, check, holds
from lightm_book.paper.digits import agrees, numbers, shown
from lightm_book.paper.evidence import Evidence
from lightm_book.paper.sources import CODE, PUBLIC_CASES


@check(Kind.WORDING)
def read(claim: Claim, evidence: Evidence, verdict: str, note: str) -> Finding:
    """For what only reading or looking decides, or nothing can; `note` says what was seen, or why not."""
    return Finding(Verdict[verdict.upper()], note)


@check(Kind.WORDING)
def says(claim: Claim, evidence: Evidence, words: list[str], yes: str, no: str) -> Finding:
    """The quote has one of these words."""
    true = any(word in claim.quote.lower() for word in words)
    return Finding(holds(true), yes if true else no)


@check(Kind.METHOD)
def split_sizes(claim: Claim, evidence: Evidence, dataset: str, released: str) -> Finding:
    """The training cases of the released data set file are the quoted share of all public cases."""
    ratio, cases = numbers(claim.quote), PUBLIC_CASES[dataset]
    share, train = Fraction(ratio[0]) / Fraction(sum(ratio)), numbers(CODE[released].quote)[0]
    fits = agrees(train, share * cases)
    note = (
        f"Their data set file counts {train} training cases; {shown(100 * share, 0)} % of the {cases} public ones "
        f"are {shown(share * cases, 1)}. The split itself was not published."
    )
    return Finding(Verdict.REPRODUCED if fits else Verdict.OPEN, note)


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
