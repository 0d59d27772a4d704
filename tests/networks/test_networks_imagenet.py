"""ImageNet's classes by name and number."""

from __future__ import annotations

import pytest

from telephonegan.errors import SettingsError
from telephonegan.networks.imagenet import class_names, class_number


def test_every_class_is_found_by_its_name_and_by_its_number():
    assert [class_number(name) for name in class_names()] == list(range(1000)) == [class_number(n) for n in range(1000)]


@pytest.mark.parametrize("typed", ["golden retriever", "Golden_Retriever", " golden  retriever ", "207", 207])
def test_case_underscores_and_numbers_in_text_make_no_difference(typed):
    assert class_number(typed) == 207


@pytest.mark.parametrize(
    ("typed", "near"), [("golden retreiver", "golden retriever"), ("terrier", "Border terrier"), ("jnco", "junco")]
)
def test_an_unknown_name_is_refused_with_the_nearest(typed, near):
    with pytest.raises(SettingsError, match=f"no class '{typed}'. The nearest are .*{near}"):
        class_number(typed)


@pytest.mark.parametrize("typed", [1000, "99999", -1])
def test_a_number_out_of_range_is_refused(typed):
    with pytest.raises(SettingsError, match="from 0 to 999"):
        class_number(typed)
