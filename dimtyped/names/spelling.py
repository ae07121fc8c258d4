"""Names that look like a misspelling of each other: `hiden` and `hidden`, and never `src` and `tgt`."""

from __future__ import annotations

from collections.abc import Iterable

_SHORTEST = 5  # letters in the longer word: shorter words that differ by one letter are often intended


def similar_name(name: str, others: Iterable[str]) -> str | None:
    """The first of the other names that this one looks like a misspelling of."""
    return next((other for other in others if are_similar(name, other)), None)


def are_similar(left: str, right: str) -> bool:
    """True if one letter inside the word is missing, doubled or swapped with its neighbor: a likely typo.

    The first and the last letter must agree: `nheads` and `heads`, `layer` and `layers`, `seq_q` and `seq_k`,
    `batch` and `patch` are intended. Digits and underscores must agree too. A replaced letter counts as intended.
    """
    short, long = sorted((left, right), key=len)
    if short == long or len(long) < _SHORTEST or short[0] != long[0] or short[-1] != long[-1]:
        return False
    if len(short) == len(long):
        return _is_swapped(short, long)
    return len(long) == len(short) + 1 and any(
        long[:index] + long[index + 1 :] == short and long[index].isalpha() and _is_inside_word(long, index)
        for index in range(1, len(long) - 1)
    )


def _is_swapped(left: str, right: str) -> bool:
    wrong = [index for index, (a, b) in enumerate(zip(left, right, strict=True)) if a != b]
    return (
        len(wrong) == 2
        and wrong[1] == wrong[0] + 1
        and left[wrong[0]] == right[wrong[1]]
        and left[wrong[1]] == right[wrong[0]]
        and (left[wrong[0]] + left[wrong[1]]).isalpha()
    )


def _is_inside_word(name: str, index: int) -> bool:
    """True if the letter has letters on both sides: in `n_q_len` the `q` is a word."""
    return name[index - 1].isalpha() and name[index + 1].isalpha()
