"""Analysers: how text is cut into tokens, for the index and for queries ("Tokenization", Tablestore).

The dictionary analysers use ``rjieba`` where it is installed (``pip install
'langchain-tablestore-memory[local]'``). Without it runs of Chinese, Japanese and Korean characters are indexed as
single characters and pairs, and searched by pairs, which finds the same texts except where the pairs of a query
are not words.

An index remembers which of the two it was made with, and keeps to it: one that has pairs goes on with pairs after
the dictionary has been installed, and one that has words refuses Chinese text where the dictionary is missing. To
change over, delete the index and create it again.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SINGLE_WORD: Final = "single_word"
MAX_WORD: Final = "max_word"
MIN_WORD: Final = "min_word"
SPLIT: Final = "split"
FUZZY: Final = "fuzzy"
ANALYZERS: Final = (SINGLE_WORD, MAX_WORD, MIN_WORD, SPLIT, FUZZY)

# How the dictionary analysers cut runs of CJK characters.
DICTIONARY: Final = "rjieba"
PAIRS: Final = "pairs"

# Of a text in a field with the fuzzy analyser only this many characters are indexed.
_FUZZY_LENGTH: Final = 1024
# A longer token is cut, in the index and in queries alike; Lucene refuses tokens over 32766 bytes.
_MAX_TOKEN_LENGTH: Final = 4096

# Han, kana, hangul and their extensions: scripts whose words are not set apart by blanks.
_CJK: Final = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3040-\u30ff\u3100-\u312f\u3131-\u318f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
_TOKENS: Final = re.compile(f"[{_CJK}]|[^\\W_{_CJK}]+")
_RUNS: Final = re.compile(f"[{_CJK}]+|[^\\W_{_CJK}]+")
_WORDS: Final = re.compile(r"[^\W_]+")
_LETTERS_OR_DIGITS: Final = re.compile(r"\d+|\D+")
_FIRST_CJK: Final = "\u2e80"
# ASCII letters and digits in lower case, blanks for all else.
_PLAIN: Final = "".join(chr(code).lower() if chr(code).isalnum() else " " for code in range(128))

_logger = logging.getLogger("langchain_tablestore_memory.local")


@dataclass(frozen=True, slots=True)
class Analyzer:
    """One analyser with its settings.

    Attributes:
        name: One of `ANALYZERS`.
        case_sensitive: Whether capitals stay capitals.
        delimit_word: ``single_word``: whether letters are cut from digits.
        delimiter: ``split``: what stands between tokens; None for blanks.
        min_chars: ``fuzzy``: the shortest piece of a word that is indexed.
        max_chars: ``fuzzy``: the longest.
        segmenter: ``max_word`` and ``min_word``: `DICTIONARY` or `PAIRS`.

    Example:
        >>> Analyzer("single_word").index_tokens("iPhone6 手机")
        ['iphone6', '手', '机']
    """

    name: str
    case_sensitive: bool = False
    delimit_word: bool = False
    delimiter: str | None = None
    min_chars: int = 1
    max_chars: int = 7
    segmenter: str = DICTIONARY

    @property
    def cuts_words(self) -> bool:
        """Whether what is stored has several tokens at the place of each word, as `index_words` gives them."""
        return self.name == FUZZY

    def index_tokens(self, text: str) -> list[str]:
        """Cut a text that is stored.

        Args:
            text: The text.

        Returns:
            The tokens in order; those of a dictionary analyser may overlap in the text.
        """
        if self.cuts_words:
            return [piece for pieces in self.index_words(text) for piece in pieces]
        return self._cut(text, stored=True)

    def join_plain(self, text: str) -> str | None:
        """Cut a text that is stored in ASCII, such as English, in a fraction of the time.

        Args:
            text: The text.

        Returns:
            What `index_tokens` gives, joined by blanks; None where the text or the analyser needs more than this.
        """
        if self.name == SPLIT or self.case_sensitive or self.delimit_word or len(text) > _MAX_TOKEN_LENGTH:
            return None
        return " ".join(text.translate(_PLAIN).split()) if text.isascii() else None

    def index_words(self, text: str) -> list[list[str]]:
        """Cut a text that is stored into words, and these into pieces.

        Args:
            text: The text.

        Returns:
            The pieces of each word: they share its place, so that phrases are made of words.
        """
        return [list(self._pieces(word)) for word in _WORDS.findall(self._fold(text[:_FUZZY_LENGTH]))]

    def query_tokens(self, text: str) -> list[str]:
        """Cut the text of a match query.

        Args:
            text: The text.

        Returns:
            The tokens, any or all of which must match.
        """
        if self.name == FUZZY:
            return _WORDS.findall(self._fold(text))
        return self._cut(text, stored=False)

    def phrase_tokens(self, text: str) -> list[str]:
        """Cut the text of a phrase query.

        Args:
            text: The text.

        Returns:
            The tokens, which must follow one another as they do in a stored text.
        """
        return self.query_tokens(text) if self.name == FUZZY else self._cut(text, stored=True)

    def _cut(self, text: str, *, stored: bool) -> list[str]:
        text = self._fold(text)
        if self.name == SPLIT:
            tokens = text.split(self.delimiter) if self.delimiter else text.split()
            found = [token for token in tokens if token]
        elif self.name == SINGLE_WORD or text.isascii() or max(text) < _FIRST_CJK:
            found = _TOKENS.findall(text)
            if self.delimit_word:
                found = [part for token in found for part in _LETTERS_OR_DIGITS.findall(token)]
        else:
            found = self._words(text, stored=stored)
        return [token[:_MAX_TOKEN_LENGTH] for token in found] if len(text) > _MAX_TOKEN_LENGTH else found

    def _fold(self, text: str) -> str:
        return text if self.case_sensitive else text.lower()

    def _words(self, text: str, *, stored: bool) -> list[str]:
        found: list[str] = []
        for run in _RUNS.findall(text):
            if run[0] < _FIRST_CJK or not _is_cjk(run[0]):
                found.append(run)
            elif self.segmenter == PAIRS:
                _tell_of_pairs()
                found += _pairs(run, stored=stored)
            elif self.name == MIN_WORD:
                found += _finest(run, _spans(dictionary().cut_all(run), run))
            else:
                found += _overlapping(run, _spans(dictionary().cut_all(run), run))
        return found

    def _pieces(self, word: str) -> Iterator[str]:
        for start in range(len(word)):
            longest = min(self.max_chars, len(word) - start)
            for length in range(self.min_chars, longest + 1):
                yield word[start : start + length]


class DictionaryMissing(Exception):  # noqa: N818 - what is missing, as the message says
    """An index was made with a dictionary that is not installed."""


def choose_segmenter() -> str:
    """Say how an index that is made now is to cut CJK characters.

    Returns:
        `DICTIONARY` where it is installed, otherwise `PAIRS`.
    """
    return PAIRS if importlib.util.find_spec(DICTIONARY) is None else DICTIONARY


@functools.cache
def _tell_of_pairs() -> None:
    _logger.warning(
        "A search index that was created where rjieba is not installed cuts Chinese into single characters and pairs"
        " instead of words. Install langchain-tablestore-memory[local], delete the search index and create it again"
        " to have words."
    )


@functools.cache
def dictionary() -> Any:
    """Load the dictionary of the analysers ``max_word`` and ``min_word``.

    Returns:
        The module ``rjieba``.

    Raises:
        DictionaryMissing: It is not installed.
    """
    try:
        return importlib.import_module(DICTIONARY)
    except ImportError:
        raise DictionaryMissing(
            "A search index with Chinese text was created with rjieba, which is not installed here. Install"
            " langchain-tablestore-memory[local], or delete the search index and create it again."
        ) from None


def _is_cjk(character: str) -> bool:
    return _CJK_CHARACTER.fullmatch(character) is not None


_CJK_CHARACTER: Final = re.compile(f"[{_CJK}]")


def _pairs(run: str, *, stored: bool) -> Iterator[str]:
    """Cut a run without a dictionary: what is stored has single characters too, so that they can be searched."""
    if len(run) == 1:
        yield run
        return
    for place in range(len(run)):
        if stored:
            yield run[place]
        if place + 1 < len(run):
            yield run[place : place + 2]


def _spans(words: list[str], run: str) -> Iterator[tuple[int, str]]:
    """Find where words lie that are longer than a character.

    Args:
        words: All words of a run that the dictionary has, by their beginning, at each the shortest first.
        run: The run.

    Yields:
        The beginning of each word, and the word.
    """
    start, length = -1, 0
    for word in words:
        if len(word) > 1:
            # Either a longer one at the same place, or the next there is, as none is left out.
            if len(word) <= length or not run.startswith(word, start):
                start = run.index(word, start + 1)
            length = len(word)
            yield start, word


def _overlapping(run: str, spans: Iterable[tuple[int, str]]) -> list[str]:
    """All words of two and more characters, and the characters that are in none of them."""
    words: list[str] = []
    end = 0
    for start, word in spans:
        if start > end:
            words += run[end:start]
        words.append(word)
        end = max(end, start + len(word))
    words += run[end:]
    return words


def _finest(run: str, spans: Iterable[tuple[int, str]]) -> list[str]:
    """The shortest words of two and more characters that do not overlap, found from the end of the text."""
    # The last that ends at a place is the shortest, as words come by their beginning.
    starts = {start + len(word): start for start, word in spans}
    words: list[str] = []
    end = len(run)
    while end > 0:
        start = starts.get(end, end - 1)
        words.append(run[start:end])
        end = start
    return words[::-1]
