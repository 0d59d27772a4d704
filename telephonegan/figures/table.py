"""Numbers for a paper: a LaTeX table with booktabs rules."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from telephonegan.drift.statistics import Estimate
from telephonegan.errors import SettingsError

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "→": r"$\to$",
    "−": "$-$",
}


def latex_table(
    rows: Sequence[Mapping[str, Any]], *, caption: str = "", label: str = "", decimals: int = 2, small: bool = False
) -> str:
    r"""A table environment with a column for each key of the first row; needs `\usepackage{booktabs}`.

    Text is escaped. Whole numbers stay whole, others get `decimals`; an `Estimate` shows its value with the interval in
    brackets; None and NaN are a dash. `small` sets it smaller and closer, to fit a column. Raises SettingsError for no
    rows, or rows with different keys.

    >>> print(latex_table([{"measure": "tf-idf", "GC@T": 0.25}]))
    \begin{table}
    \centering
    \begin{tabular}{lr}
    \toprule
    measure & GC@T \\
    \midrule
    tf-idf & 0.25 \\
    \bottomrule
    \end{tabular}
    \end{table}
    <BLANKLINE>
    """
    columns = list(rows[0]) if rows else []
    if not columns or any(list(row) != columns for row in rows):
        raise SettingsError(f"A table needs at least one row, and the same columns in all; {list(rows)} was given.")
    sides = "".join("l" if any(isinstance(row[column], str) for row in rows) else "r" for column in columns)
    sides = f"@{{}}{sides}@{{}}" if small else sides
    lines = [
        r"\begin{table}",
        r"\centering",
        *([r"\footnotesize", r"\setlength{\tabcolsep}{1.5pt}"] if small else []),
        *([rf"\caption{{{escaped(caption)}}}"] if caption else []),
        *([rf"\label{{{label}}}"] if label else []),
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        _line(map(escaped, columns)),
        r"\midrule",
        *(_line(_cell(row[column], decimals, small) for column in columns) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    r"""A text escaped for LaTeX, on one line.

    >>> print(escaped("50 % of_it"))
    50 \% of\_it
    """
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def _line(cells: Any) -> str:
    return " & ".join(cells) + r" \\"


def _cell(value: Any, decimals: int, small: bool) -> str:
    if isinstance(value, Estimate):
        number = _number(value.value, decimals)
        bounds = (value.low, value.high)
        return number if any(map(math.isnan, bounds)) else f"{number} {_interval(bounds, decimals, small)}"
    if value is None:
        return "--"
    return _number(value, decimals) if isinstance(value, numbers.Real) else escaped(str(value))


def _interval(bounds: Sequence[float], decimals: int, small: bool) -> str:
    low, high = (_number(bound, decimals) for bound in bounds)
    return rf"{{\{'scriptsize' if small else 'small'} [{low}, {high}]}}"


def _number(value: Any, decimals: int) -> str:
    if math.isnan(value):
        return "--"
    if math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    text = f"{value}" if isinstance(value, numbers.Integral) else f"{value:.{decimals}f}"
    return f"$-${text[1:]}" if text.startswith("-") else text
