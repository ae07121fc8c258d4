"""English text that comes with Python, or the user's own, as phrases to learn from."""

import codecs
import random
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

WORDS = 3
LONGEST = 24
FEWEST = 200
MOST_BYTES = 2_000_000


class TextError(ValueError):
    """A text from which nothing can be learned: a missing file, not UTF-8, or too short."""


@dataclass(frozen=True)
class Corpus:
    """Phrases to train on, and others to see what was learned.

    Attributes:
        train: Phrases to learn from, shuffled.
        held: The last phrases of the text, shuffled; none of them is in `train`.
        characters: Each character that occurs, in order.
    """

    train: list[str]
    held: list[str]
    characters: str


def read_text(path: Path | None) -> str:
    """The text of a file, its first 2 MB; without a file, the language reference that `help()` of Python uses.

    Raises:
        TextError: the file cannot be read, or is not UTF-8.
    """
    if path is None:
        return "\n".join(topics.values())
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES)
        return codecs.getincrementaldecoder("utf-8-sig")().decode(content, final=len(content) < MOST_BYTES)
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}") from error


def split(text: str) -> Corpus:
    """The different phrases of three words; the last twentieth is held out.

    Raises:
        TextError: there are fewer than 200.
    """
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", text).lower())
    joined = (" ".join(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1))
    phrases = [phrase for phrase in dict.fromkeys(joined) if len(phrase) <= LONGEST]
    if len(phrases) < FEWEST:
        raise TextError(
            f"the text is too short: it has {len(phrases)} different phrases of {WORDS} words and at most {LONGEST} "
            f"letters, and must have {FEWEST}"
        )
    cut = len(phrases) * 19 // 20
    train, held = phrases[:cut], phrases[cut:]
    shuffle = random.Random(0).shuffle
    shuffle(train)
    shuffle(held)
    return Corpus(train, held, "".join(sorted(set("".join(phrases)))))


def without_vowels(phrase: str) -> str:
    """The encoder's input: `the next line` becomes `th nxt ln`. A phrase of vowels alone stays."""
    return "".join(letter for letter in phrase if not _is_vowel(letter)).strip() or phrase


def _is_vowel(letter: str) -> bool:
    return unicodedata.normalize("NFD", letter)[0] in "aeiou"
