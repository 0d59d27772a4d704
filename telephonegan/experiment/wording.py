"""A summary as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Told = dict[str, Any]


def in_words(summary: Told) -> str:
    """The summary as lines of text, intervals in brackets."""
    lines = [_title(summary), "", *_similarities(summary["measures"]), "", *_above_chance(summary["measures"])]
    lines += _references(summary["measures"])
    lines += [*_words(summary), "", *_diversity(summary), "", *_repetition(summary["repetition"])]
    lines += _ends(summary["ends"], summary["repetition"])
    return "\n".join(lines) + "\n"


def law_in_words(told: Told) -> str:
    """How a measure falls, from its `half_life` in the summary."""
    if told["rounds"] is not None:
        refused = f"; {told['refused']} of {told['resamples']} resamples have none" if told["refused"] else ""
        return (
            f"half-life {number(told['rounds']['value'])} {interval(told['rounds'])} rounds, to a plateau of "
            f"{number(told['plateau']['value'])} {interval(told['plateau'])} above chance{refused}{_evidence(told)}"
        )
    if told["best"] == "power law":
        return (
            f"no half-life: a power law t^-{number(told['exponent']['value'])} {interval(told['exponent'])} is better, "
            f"in {told['agree']} of {told['resamples']} resamples{_evidence(told)}"
        )
    return f"no half-life: {told['reason']}"


def _evidence(told: Told) -> str:
    """AICc and error of the exponential and the better power law, the best one first."""
    exponential, *powers = told["laws"]
    pair = [exponential, min(powers, key=lambda law: float(law["aicc"]))]
    first, second = pair if told["best"] == "exponential" else pair[::-1]
    return (
        f"; AICc {float(first['aicc']):.1f} against {float(second['aicc']):.1f}, held-out error "
        f"{first['held_out']:.4f} against {second['held_out']:.4f}"
    )


def number(value: float | str | None) -> str:
    """A number with two decimals, or a dash if unknown."""
    return "–" if value is None else f"{float(value):.2f}".replace("inf", "∞")


def interval(told: Told, place: int | None = None) -> str:
    """The interval of an estimate, or of the element `place` of an array of estimates."""
    low, high = (told[end] if place is None else told[end][place] for end in ("low", "high"))
    unknown = told.get("unknown", 0)
    lost = unknown if place is None or not isinstance(unknown, list) else unknown[place]
    without = f" (unknown in {lost} resamples)" if lost else ""
    return f"[{number(low)}, {number(high)}]{without}"


def _title(summary: Told) -> str:
    counts = summary["experiment"]
    return (
        f"{len(summary['chains'])} chains of {counts['sources']} sources, {counts['rounds_wanted']} rounds; "
        f"{counts['skipped']} sources were skipped." + ("" if counts["complete"] else " Not all is played yet.")
    ) + "\nIntervals (95 %) are over other sources like these; they do not cover other weights."


def _similarities(measures: Told) -> Iterator[str]:
    yield "{:26} {:>7} {:>7}  {:16} {:>7} {:>7} {:>7}  {}".format(
        "similarity to round 0", "first", "last", "", "chance", "mean", "GC@T", "how it falls, less chance"
    )
    for name, told in measures.items():
        start = told["start"]
        cells = (
            number(start["value"][0]),
            number(start["value"][-1]),
            interval(start, -1),
            number(told["chance"] and told["chance"]["value"][-1]),
            number(told["mean_similarity"]["value"]),
            number(told["gc_at_t"]["value"]),
            law_in_words(told["half_life"]),
        )
        yield "{:26} {:>7} {:>7}  {:16} {:>7} {:>7} {:>7}  {}".format(name, *cells)
    if any(name.startswith("damsm") for name in measures):
        yield "damsm is biased: it guided the training of the generator."
    pairs = {name: told["pairs"] for name, told in measures.items() if told["pairs"]}
    for count in sorted(set(pairs.values()), reverse=True):
        names = ", ".join(name for name, those in pairs.items() if those == count)
        yield f"chance is the mean over {count:,} ordered pairs of sources for {names}"


def _references(measures: Told) -> Iterator[str]:
    names = dict.fromkeys(name for told in measures.values() for name in told["references"])
    for name in names:
        yield f"{name}:"
        for measure, told in measures.items():
            if name in told["references"]:
                yield f"  {measure:24} {_reference(told['references'][name], told['rounds'])}"
    if names:
        yield ""


def _reference(told: Told, rounds: Sequence[int]) -> str:
    head = f"{number(told['value'])} {interval(told)}"
    if told["difference"] is None:
        return head
    known = [
        (t, float(low), float(high))
        for t, low, high in zip(rounds, told["difference"]["low"], told["difference"]["high"], strict=True)
        if low is not None and high is not None
    ]
    above, below = [t for t, low, _ in known if low > 0], [t for t, _, high in known if high < 0]
    parts = [
        f"the chains are {side} in round{'s' * (len(those) > 1)} {_listed(those)}"
        for side, those in (("above", above), ("below", below))
        if those
    ]
    first, last = (f"{_signed(told['difference'], t)} in round {rounds[t]}" for t in (0, -1))
    parts.append(f"they differ from it by {first}, {last}")
    return f"{head}, {_sources(told)}" + "".join(f"; {part}" for part in parts)


def _signed(told: Told, place: int) -> str:
    """An estimate with three decimals, for values near 0."""
    return _three_decimals(*(told[part][place] for part in ("value", "low", "high")))


def _three_decimals(*estimate: float | str | None) -> str:
    if None in estimate:
        return "–"
    value, low, high = map(float, estimate)
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _above_chance(measures: Told) -> Iterator[str]:
    known = {name: told["above_chance"] for name, told in measures.items() if told["above_chance"]}
    if known:
        yield "from chance (0) to the same (1), in the first and in the last round:"
    for name, told in known.items():
        yield f"  {name:24} {_signed(told, 0)}, {_signed(told, -1)}"
    if known:
        yield ""


def _sources(told: Told) -> str:
    return f"{told['sources']} source{'s' * (told['sources'] != 1)}"


def _listed(numbers: Sequence[int]) -> str:
    """3, 4, 5, 7 as 3–5, 7."""
    runs: list[list[int]] = []
    for each in numbers:
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _words(summary: Told) -> Iterator[str]:
    for title, kinds in (("", summary["survival"]), (", as lemmas", summary["survival_of_lemmas"])):
        if kinds:
            yield f"share of the words of round 0 still said in the last round{title}:"
        for kind, told in kinds.items():
            line = f"  {kind:8} {number(told['share']['value'][-1])} {interval(told['share'], -1)}"
            if told["chance"]:
                line += f", by chance {number(told['chance']['value'][-1])}"
                line += f", excess {number(told['excess']['value'][-1])} {interval(told['excess'], -1)}"
                line += f", {_sources(told)}"
            yield line


def _diversity(summary: Told) -> Iterator[str]:
    first, last = summary["diversity"][0], summary["diversity"][-1]
    rounds = f"round {first['round']} → round {last['round']}"
    yield f"captions among the chains of a seed, {rounds}:"
    yield f"  different {first['unique_per_seed']:.0f} → {last['unique_per_seed']:.0f}"
    limit = "" if first["per_seed"] is None else f", at most the {first['per_seed']:.0f} chains"
    yield f"  effective number {first['effective']:.0f} → {last['effective']:.0f} (of the sample itself{limit})"
    if first["per_seed"] is not None:
        yield f"  effective number {_whole(first['chao_shen'])} → {_whole(last['chao_shen'])} (after Chao and Shen)"
    told = summary["distances"]
    same = told["same_caption"]
    if same:
        yield f"  effective number {_inverse(same, 0)} → {_inverse(same, -1)} (1 / P(two sources say the same))"
    for name, what in (("captions", "1 - content F1"), ("pictures", "1 - Lite2 cosine")):
        if told[name] and any(value is not None for value in told[name]["value"]):
            yield _distances(name, what, told)


def _distances(name: str, what: str, told: Told) -> str:
    values = [(t, value) for t, value in zip(told["rounds"], told[name]["value"], strict=True) if value is not None]
    shown = [values[0], *(values[1:2] if name == "pictures" else []), *values[-1:]]
    change = told[f"{name}_change"]
    since = "the first painted round" if name == "pictures" else f"round {shown[0][0]}"
    tail = (
        f"; change since {since} {_three_decimals(change['value'], change['low'], change['high'])}"
        if _is_known(change)
        else ""
    )
    return (
        f"mean distance of two sources' {name}, {what}: "
        + ", ".join(f"{number(value)} in round {t}" for t, value in dict(shown).items())
        + tail
    )


def _is_known(told: Told | None) -> bool:
    return told is not None and told["low"] is not None


def _repetition(told: Told) -> Iterator[str]:
    if told["left"] is None:
        yield f"chains in which a caption is repeated at once: {told['repeat']} of {told['chains']}"
        return
    yield (
        f"chains in which a caption is repeated at once: {told['repeat']} of {told['chains']}; of the "
        f"{told['repeat_before_last']} that do so before the last round {told['left']} say something else later; "
        f"{told['repeat_at_end']} repeat one in the last round"
    )
    if told["same_noise"]:
        lengths = ", ".join(f"{count} of length {length}" for length, count in told["cycles"].items()) or "none"
        yield f"chains caught in a cycle, since an earlier caption came back: {told['in_a_cycle']} ({lengths})"


def _ends(ends: Sequence[Told], repetition: Told) -> Iterator[str]:
    common = ends[0]
    settled = "" if common["settled"] is None else f", {common['settled']} of them in the two rounds before as well"
    yield f"different last captions: {repetition['different_ends']}"
    yield f"commonest last caption, of {common['chains']} chains{settled}: {common['caption']}"


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _inverse(told: Told, place: int) -> str:
    """1 over a probability and its bounds, which swap places; a dash if the event never happened."""
    value, *bounds = (told[part][place] for part in ("value", "high", "low"))
    if not value:
        return "–"
    low, high = ("–" if each is None else f"{1 / float(each):,.0f}" if each else "∞" for each in bounds)
    return f"{1 / float(value):,.0f} [{low}, {high}]"
