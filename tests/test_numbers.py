"""Numbers as pages and figures show them."""

import pytest

from HiggsML.statistics.numbers import with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.64012, 0.0148, "0.640 ± 0.015"),
        (-8.749, 1.11, "\N{MINUS SIGN}8.7 ± 1.1"),
        (3, 0.0, "3.000 ± 0.000"),
    ],
)
def test_numbers_are_written_to_the_second_digit_of_their_error(value, error, text):
    assert with_error(value, error) == text
