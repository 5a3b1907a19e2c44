"""Numbers as they are printed: read exactly, and compared at the precision that they are printed with."""

import re
from decimal import Decimal
from fractions import Fraction

_CITATION = re.compile(r"\[[\d, ]+\]")
# A number of its own: not the 3 of "Conv3", not the 3 of "3D".
_NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e-?\d+)?(?![\d,.]*\d)(?!D\b)")


def numbers(text: str) -> tuple[Decimal, ...]:
    """The numbers in a quotation, in order, citations such as [8] left out.

    >>> numbers("U-Mamba[14] (173.53M parameters and 18,057.20 GFLOPs) in 3D")
    (Decimal('173.53'), Decimal('18057.20'))
    """
    return tuple(Decimal(found.replace(",", "")) for found in _NUMBER.findall(_CITATION.sub("", text)))


def half_unit(printed: Decimal) -> Fraction:
    """Half a unit of the last printed digit: how far rounding can have moved it."""
    return Fraction(10) ** printed.as_tuple().exponent / 2


def agrees(printed: Decimal, value: Fraction | int) -> bool:
    """Is `printed` what `value` rounds to? A tie may have gone either way."""
    return abs(Fraction(printed) - value) <= half_unit(printed)


def ratio_range(a: Decimal, b: Decimal) -> tuple[Fraction, Fraction]:
    """Smallest and largest quotient of the numbers that round to the printed `a` and `b` (both above 0)."""
    up, down = half_unit(a), half_unit(b)
    return (Fraction(a) - up) / (Fraction(b) + down), (Fraction(a) + up) / (Fraction(b) - down)


def shown(value: Fraction | int, places: int = 2) -> str:
    """A computed number for a sentence: rounded to `places` decimals, halves to even, thousands separated."""
    scaled = round(Fraction(value) * 10**places)
    return f"{Decimal(scaled).scaleb(-places):,f}"
