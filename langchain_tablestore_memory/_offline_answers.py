"""How the offline stand-in answers: it looks up in the conversation what the conversation says."""
# ruff: noqa: RUF001 - Chinese punctuation is meant

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_tablestore_memory import _offline_phrases as phrases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_tablestore_memory._offline_phrases import Language, Statement

_CJK = re.compile(r"[\u3400-\u9fff]")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
_LABEL = re.compile(r"\s*(\[[^\[\]]{1,200}\])\s*")
# What stands over or before the text that answers: "# Kitchen", "From kitchen.md:", "- ".
_HEADING = re.compile(r"\s*#{1,6}\s|.*[:：]\s*$")
_BULLET = re.compile(r"^\s*[-*•]\s+")
_LEAST_OVERLAP = 0.5


@dataclass(frozen=True)
class Fact:
    """Something that somebody said of themselves.

    Attributes:
        attribute: What it is about, such as ``name``.
        value: What was said, turned to the second person.
        noun: What they called the attribute, where they named it.
    """

    attribute: str
    value: str
    noun: str = ""

    @property
    def many(self) -> bool:
        """Whether the attribute may have other values besides."""
        return phrases.ATTRIBUTES.get(self.attribute, phrases.ANY_ATTRIBUTE).many

    def told(self, language: Language, value: str) -> str:
        """The fact as a sentence, with a value in place of its own."""
        # Their own word for it, unless that is of the other language.
        known = phrases.ATTRIBUTES.get(self.attribute)
        kind = known if known and (not self.noun or language_of(self.noun) != language) else phrases.ANY_ATTRIBUTE
        return kind.told.say(language, noun=self.noun, value=value)


def language_of(text: str) -> Language:
    """Chinese where there is a Chinese character, else English."""
    return "zh" if _CJK.search(text) else "en"


def is_question(text: str) -> bool:
    """Whether any of a text's sentences asks something."""
    return any(phrases.IS_QUESTION[language_of(text)].search(sentence) for sentence in _sentences(text))


def key_words(text: str) -> set[str]:
    """What a text is about: its English words but for the common ones, and its pairs of Chinese characters."""
    words = {word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in phrases.STOP_WORDS}
    words = {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words}  # noqa: PLR2004
    for run in re.findall(r"[\u3400-\u9fff]+", text):
        kept = "".join(" " if character in phrases.STOP_CHARACTERS else character for character in run)
        words.update(pair for part in kept.split() for pair in map("".join, itertools.pairwise(part)))
    return words


def answer(messages: Sequence[BaseMessage]) -> str:
    """Answer the last human message from the conversation that led to it.

    Args:
        messages: The conversation. What system messages say counts as knowledge, what human messages say as
            true of the human.
    """
    humans = [message.text for message in messages if isinstance(message, HumanMessage)]
    text = humans[-1] if humans else ""
    language = language_of(text)
    results = _tool_results(messages)
    if results:
        return "\n".join(phrases.TOOL_RESULT.say(language, name=name, text=result) for name, result in results)
    facts = _facts(humans)
    for reply in (
        _about_conversation(text, humans[:-1], messages, facts),
        _about_facts(text, facts, messages, humans[:-1]),
        _acknowledge(text),
        _from_sentences(text, messages, humans[:-1], facts) if is_question(text) else None,
        _courtesy(text, facts),
    ):
        if reply:
            return reply
    return (phrases.FALLBACK if is_question(text) or not text else phrases.READ).say(language)


def facts_in(text: str) -> list[Fact]:
    """The facts that a message states, in its order; questions state none."""
    facts: list[Fact] = []
    asks = phrases.IS_QUESTION[language_of(text)]
    for sentence in _sentences(text):
        if not asks.search(sentence):
            facts.extend(_facts_of_sentence(sentence))
    return facts


def _facts_of_sentence(sentence: str) -> Iterator[Fact]:
    found: list[tuple[re.Match[str], Statement]] = []
    for statement in phrases.STATEMENTS:
        for match in statement.pattern.finditer(sentence):
            if all(match.end() <= other.start() or match.start() >= other.end() for other, _ in found):
                found.append((match, statement))
    for match, statement in sorted(found, key=lambda pair: pair[0].start()):
        groups = match.groupdict()
        value = phrases.TRAILING.sub("", statement.value.format(**groups)).strip(" .\"“”'")
        noun = groups.get("noun", "")
        if value:
            yield Fact(statement.attribute or _attribute_called(noun), _second_person(value), noun)


def _attribute_called(noun: str) -> str:
    noun = noun.strip().lower().removeprefix("的")
    return phrases.SYNONYMS.get(noun, noun)


def _facts(texts: Iterable[str]) -> list[Fact]:
    """All facts that hold, the latest of each where only one can."""
    facts: list[Fact] = []
    for fact in itertools.chain.from_iterable(map(facts_in, texts)):
        facts = [
            other for other in facts if other.attribute != fact.attribute or (fact.many and other.value != fact.value)
        ]
        facts.append(fact)
    return facts


def _about_conversation(
    text: str, earlier: Sequence[str], messages: Sequence[BaseMessage], facts: Sequence[Fact]
) -> str | None:
    language = language_of(text)
    topic = next((name for name, pattern in phrases.ABOUT_CONVERSATION.items() if pattern.search(text)), None)
    if topic is None or not is_question(text):
        return None
    if topic == "summary":
        return phrases.SUMMARY.say(language, facts=_tell(facts, language)) if facts else None
    if topic in {"questions", "messages"}:
        count = sum(map(is_question, earlier)) if topic == "questions" else len(earlier)
        phrase = phrases.QUESTION_COUNT if topic == "questions" else phrases.MESSAGE_COUNT
        return phrase.say(language, count=count, plural="" if count == 1 else "s")
    answers = [message.text for message in messages if isinstance(message, AIMessage) and message.text]
    phrase, said = {
        "first": (phrases.FIRST, earlier[:1]),
        "previous": (phrases.PREVIOUS, earlier[-1:]),
        "answer": (phrases.LAST_ANSWER, answers[-1:]),
    }[topic]
    return phrase.say(language, text=said[0]) if said else phrases.NOTHING_BEFORE.say(language)


def _about_facts(
    text: str, facts: Sequence[Fact], messages: Sequence[BaseMessage], earlier: Sequence[str]
) -> str | None:
    if not is_question(text):
        return None
    language = language_of(text)
    for question in phrases.QUESTIONS:
        match = question.pattern.search(text)
        if match is not None:
            noun = match.groupdict().get("noun") or ""
            attributes = question.attributes or (_attribute_called(noun),)
            known = _known(facts, attributes, match.groupdict().get("topic"))
            if known:
                return _tell(known, language)
            # Perhaps it was retrieved, or said in words that no statement covers.
            what = phrases.ATTRIBUTES.get(attributes[0], phrases.ANY_ATTRIBUTE).missing.say(language, noun=noun)
            return _from_sentences(text, messages, earlier) or phrases.MISSING.say(language, what=what)
    return None


def _known(facts: Sequence[Fact], attributes: Iterable[str], topic: str | None) -> list[Fact]:
    """The facts about the first attribute that is known; only those on a topic, if any are."""
    for attribute in attributes:
        known = [fact for fact in facts if fact.attribute == attribute]
        if known:
            return [fact for fact in known if topic and topic.lower() in fact.value.lower()] or known
    return []


def _acknowledge(text: str) -> str | None:
    language = language_of(text)
    facts = facts_in(text)
    if not facts:
        return None
    sentences = [phrases.NICE_TO_MEET.say(language, name=fact.value) for fact in facts if fact.attribute == "name"]
    others = [fact for fact in facts if fact.attribute != "name"]
    if others:
        sentences.append(phrases.NOTED.say(language, facts=_tell(others, language)))
    return phrases.BETWEEN_SENTENCES.say(language).join(sentences)


def _from_sentences(
    text: str, messages: Sequence[BaseMessage], earlier: Sequence[str], facts: Sequence[Fact] = ()
) -> str | None:
    """The sentence that shares most with a question: of the system messages, or of what the human said.

    Where the question is about the human, what is known of them counts as part of it, and is told along.
    """
    wanted = key_words(text)
    personal = facts if phrases.IS_PERSONAL[language_of(text)].search(text) else ()
    words = [(fact, key_words(fact.value) - wanted) for fact in personal]
    known = set[str]().union(*(fact_words for _, fact_words in words))
    best, best_shared = None, 0
    for candidate in itertools.chain(_given(messages), _said(earlier)):
        there = key_words(candidate.text)
        of_question = len(wanted & there)
        # What is known of the human helps to choose among sentences on the question; it makes none of others.
        shared = of_question + (len(known & there) if of_question and candidate.phrase is phrases.GIVEN else 0)
        if shared > best_shared and shared >= _LEAST_OVERLAP * len(wanted):
            best, best_shared = candidate, shared
    if best is None:
        return None
    language = language_of(text)
    used = key_words(best.text) if best.phrase is phrases.GIVEN else set()
    told = _tell([fact for fact, fact_words in words if fact_words & used], language)
    quoted = best.phrase.say(language, text=best.text) + (f" {best.label}" if best.label else "")
    return phrases.BETWEEN_SENTENCES.say(language).join(filter(None, (told, quoted)))


class _Candidate(NamedTuple):
    """A sentence that may answer a question.

    Attributes:
        text: The sentence.
        phrase: How it is told.
        label: What its paragraph began with in brackets: where it is from.
    """

    text: str
    phrase: phrases.Phrase
    label: str = ""


def _given(messages: Iterable[BaseMessage]) -> Iterator[_Candidate]:
    for message in messages:
        if isinstance(message, SystemMessage):
            for paragraph in message.text.splitlines():
                if _HEADING.match(paragraph):
                    continue
                label = _LABEL.match(paragraph)
                rest = _BULLET.sub("", paragraph[label.end() :] if label else paragraph, count=1)
                for sentence in _sentences(rest):
                    yield _Candidate(sentence, phrases.GIVEN, label[1] if label else "")


def _said(earlier: Iterable[str]) -> Iterator[_Candidate]:
    for message in earlier:
        for sentence in _sentences(message):
            if not is_question(sentence):
                yield _Candidate(sentence, phrases.SAID)


def _courtesy(text: str, facts: Sequence[Fact]) -> str | None:
    language = language_of(text)
    if phrases.THANKS[language].search(text):
        return phrases.WELCOME.say(language)
    if not phrases.GREETING[language].search(text):
        return None
    name = next((fact.value for fact in facts if fact.attribute == "name"), None)
    return phrases.HELLO_AGAIN.say(language, name=name) if name else phrases.HELLO.say(language)


def _tool_results(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    """What tools returned since the last human message."""
    since = itertools.takewhile(lambda message: not isinstance(message, HumanMessage), reversed(messages))
    results = [(message.name or "tool", str(message.text)) for message in since if isinstance(message, ToolMessage)]
    return results[::-1]


def _tell(facts: Sequence[Fact], language: Language) -> str:
    """Facts as sentences; those of one kind as one sentence."""
    values: dict[str, list[str]] = {}
    for fact in facts:
        values.setdefault(fact.told(language, "\0"), []).append(fact.value)
    listed = phrases.LISTED.say(language)
    sentences = [sentence.replace("\0", listed.join(said)) for sentence, said in values.items()]
    return phrases.BETWEEN_SENTENCES.say(language).join(sentences)


def _second_person(text: str) -> str:
    for pattern, replacement in phrases.SECOND_PERSON[language_of(text)]:
        text = re.sub(pattern, replacement, text)
    return text.strip()


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE_END.split(text) if sentence and sentence.strip()]
