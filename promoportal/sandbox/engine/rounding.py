"""The smallest units of rewards, and rounding to them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException, Inexact

from promoportal.sandbox.engine.model import Category

# ISO 4217: the number of decimals of the currencies that do not have two.
DECIMALS = dict.fromkeys(
    [
        *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"),
        *("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
    ],
    0,
)
DECIMALS |= dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3)
DECIMALS |= dict.fromkeys(["CLF", "UYW"], 4)

# Independent of the caller's decimal context.
_ROUNDING = Context(prec=28, rounding=ROUND_HALF_UP)
EXACT = Context(prec=100, traps=[*Context().traps, Inexact])
Uncomputable = DecimalException


def minor_unit(category: Category, measure: str) -> Decimal:
    """Return the smallest unit of a reward: 0.01 for EUR, 1 for JPY and for spins."""
    decimals = DECIMALS.get(measure, 2) if category is Category.AMOUNT else 0
    return Decimal(1).scaleb(-decimals)


def rounded(value: Decimal, unit: Decimal) -> Decimal:
    """
    Return the value rounded to the unit. ASSUMED: a half is rounded away from zero.

    :raises Uncomputable: if the value is infinite, or the result needs over 28 digits
    """
    return value.quantize(unit, context=_ROUNDING)
