import numpy as np
import pytest

from telephonegan.drift.statistics import Estimate
from telephonegan.errors import SettingsError
from telephonegan.figures import latex_table
from telephonegan.figures.table import escaped


def body(rows, **options):
    lines = latex_table(rows, **options).splitlines()
    return [line.removesuffix(r" \\") for line in lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]]


def test_a_table_has_rules_sides_caption_and_label():
    table = latex_table([{"measure": "BLEU", "n": 3}], caption="50 % left", label="tab:left_over")
    assert r"\begin{tabular}{lr}" in table and r"\caption{50 \% left}" in table and r"\label{tab:left_over}" in table
    order = [table.index(part) for part in (r"\toprule", "measure & n", r"\midrule", "BLEU & 3", r"\bottomrule")]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0.256, "0.26"),
        (-0.5, "$-$0.50"),
        (7, "7"),
        (np.int64(7), "7"),
        (np.float32(0.5), "0.50"),
        (None, "--"),
        (float("nan"), "--"),
        (float("inf"), r"$\infty$"),
        ("a_b & c", r"a\_b \& c"),
        (Estimate(0.5, 0.4, float("inf")), r"0.50 {\small [0.40, $\infty$]}"),
        (Estimate(0.5, float("nan"), float("nan")), "0.50"),
    ],
)
def test_values_are_set_as_a_paper_sets_them(value, cell):
    assert body([{"x": value}]) == [cell]


def test_decimals_are_chosen():
    assert body([{"x": 0.12345, "n": 10}], decimals=3) == ["0.123 & 10"]


def test_every_sign_that_latex_obeys_is_escaped():
    assert escaped("\\ & % $ # _ { } ~ ^") == (
        r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{}"
    )
    assert escaped("two\nlines  here") == "two lines here"


@pytest.mark.parametrize("rows", [[], [{}], [{"a": 1}, {"b": 1}]])
def test_rows_must_have_the_same_columns(rows):
    with pytest.raises(SettingsError, match="same columns"):
        latex_table(rows)
