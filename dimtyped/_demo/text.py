"""English text that every machine has, or the user's own, as phrases to learn from."""

import random
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

WORDS = 3
LONGEST = 24
FEWEST = 200
MOST = 60_000


class TextError(ValueError):
    """A text that nothing can be learned from: no file, no UTF-8, too short."""


@dataclass(frozen=True)
class Corpus:
    """Phrases to train on, and phrases from the text's end that are not among them.

    Attributes:
        train: Phrases to learn from, shuffled.
        held: Other phrases, to see what was learned.
        characters: Each character that occurs, in order.
    """

    train: list[str]
    held: list[str]
    characters: str


def read_text(path: Path | None) -> str:
    """The text of a file; without one, the language reference that every Python carries for its `help()`.

    Raises:
        TextError: the file cannot be read, or is no UTF-8.
    """
    if path is None:
        return "\n".join(topics.values())
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is no UTF-8 text: byte 0x{error.object[error.start]:02x} at {error.start}") from error


def split(text: str) -> Corpus:
    """Phrases of three words; those of the last twentieth are held out.

    Raises:
        TextError: the text has fewer than 200 such phrases.
    """
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", text).lower())[:MOST]
    cut = len(words) * 19 // 20
    train = _phrases(words[:cut])
    held = [phrase for phrase in _phrases(words[cut:]) if phrase not in set(train)]
    if len(train) + len(held) < FEWEST or not held:
        raise TextError(f"the text has {len(train) + len(held)} phrases of three words, and must have {FEWEST} or more")
    shuffle = random.Random(0).shuffle
    shuffle(train)
    shuffle(held)
    return Corpus(train, held, "".join(sorted(set("".join([*train, *held])))))


def without_vowels(phrase: str) -> str:
    """What the encoder reads: `the next line` is `th nxt ln`. A phrase of vowels alone stays."""
    return "".join(letter for letter in phrase if not _is_vowel(letter)).strip() or phrase


def _phrases(words: list[str]) -> list[str]:
    joined = (" ".join(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1))
    return [phrase for phrase in dict.fromkeys(joined) if len(phrase) <= LONGEST]


def _is_vowel(letter: str) -> bool:
    return unicodedata.normalize("NFD", letter)[0] in "aeiou"
