r"""Numbers as a page shows them.

Examples
--------
>>> percent(0.68273), number(12345.6), with_error(0.01234, 0.0056)
('68.3\xa0%', '1.235e+04', '0.0123 ± 0.0056')
"""

from __future__ import annotations

import math

__all__ = ["number", "percent", "with_error"]

_MINUS = "\N{MINUS SIGN}"


def percent(share: float) -> str:
    """Write a share, which is between 0 and 1, in percent."""
    return f"{100 * min(max(share, 0.0), 1.0):.1f}\N{NO-BREAK SPACE}%"


def number(value: float) -> str:
    """Write a number with three decimals, or fewer if it is large."""
    size = abs(value)
    text = f"{value:z.3f}" if size < 10 else f"{value:.4g}" if size < 1e5 else f"{value:.2g}"
    return text.replace("-", _MINUS)


def with_error(value: float, error: float) -> str:
    """Write a number to the second digit of its error, and both to as many decimals."""
    if not 0 < error < 1e5:
        return f"{number(value)} ± {number(error)}"
    decimals = min(max(1 - math.floor(math.log10(error)), 0), 6)
    return f"{value:z.{decimals}f} ± {error:.{decimals}f}".replace("-", _MINUS)
