"""Numbers as pages and figures show them."""

from __future__ import annotations

import math

__all__ = ["number", "percent", "with_error"]

_MINUS = "\N{MINUS SIGN}"


def percent(share: float) -> str:
    r"""Write a share, which is between 0 and 1, in percent.

    Examples
    --------
    >>> percent(0.68273)
    '68.3\xa0%'
    """
    return f"{100 * min(max(share, 0.0), 1.0):.1f}\N{NO-BREAK SPACE}%"


def number(value: float) -> str:
    """Write a number with three decimals, or fewer if it is large.

    Examples
    --------
    >>> number(0.1234), number(12345.6)
    ('0.123', '1.235e+04')
    """
    size = abs(value)
    text = f"{value:z.3f}" if size < 10 else f"{value:.4g}" if size < 1e5 else f"{value:.2g}"
    return text.replace("-", _MINUS)


def with_error(value: float, error: float) -> str:
    """Write a number to the second digit of its error, and both to as many decimals.

    Examples
    --------
    >>> with_error(0.01234, 0.0056)
    '0.0123 ± 0.0056'
    """
    if not 0 < error < 1e5:
        return f"{number(value)} ± {number(error)}"
    decimals = min(max(1 - math.floor(math.log10(error)), 0), 6)
    return f"{value:z.{decimals}f} ± {error:.{decimals}f}".replace("-", _MINUS)
