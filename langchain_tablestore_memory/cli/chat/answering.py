"""One turn of the chat: store the question, recall, ask the model, show and store its answer."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, message_chunk_to_message

from langchain_tablestore_memory.cli.chat.conversations import INTERRUPTED, is_unanswered
from langchain_tablestore_memory.cli.display import shortened
from langchain_tablestore_memory.errors import TablestoreMemoryError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessageChunk

    from langchain_tablestore_memory.chat_history import TablestoreChatMessageHistory
    from langchain_tablestore_memory.cli.chat.knowledge import Knowledge
    from langchain_tablestore_memory.cli.chat.outbox import Outbox
    from langchain_tablestore_memory.cli.chat.remembering import Remembering
    from langchain_tablestore_memory.cli.chat.screen import Screen
    from langchain_tablestore_memory.cli.interrupts import Interrupts

_INSTRUCTIONS = "You are a helpful assistant. Answer in the language that you are spoken to in."
_ERROR = 300
_LATER = "It is stored with the next message, or by /retry."


@dataclass(slots=True)
class Answering:
    """What it takes to answer.

    Attributes:
        model: The model.
        remembering: The user's memories.
        knowledge: A folder of documents; None for none.
        outbox: Where messages are stored from.
        screen: Where answers are shown.
        interrupts: Lets Ctrl-C through while the model answers.
    """

    model: BaseChatModel
    remembering: Remembering
    knowledge: Knowledge | None
    outbox: Outbox
    screen: Screen
    interrupts: Interrupts

    def say(self, history: TablestoreChatMessageHistory, text: str) -> None:
        """Say something to the model. It is stored before the model is asked."""
        question = HumanMessage(text, id=str(uuid.uuid4()))
        with self.interrupts.held():
            try:
                self.outbox.deliver(history, question)
            except TablestoreMemoryError as error:
                later = f" {_LATER}" if len(self.outbox) else ""
                self.screen.problem(f"Your message is not stored, and not answered: {error}{later}")
                return
            self._answer(history, question)

    def retry(self, history: TablestoreChatMessageHistory) -> None:
        """Store what is not stored yet, and ask the model where the conversation has no answer."""
        with self.interrupts.held():
            waiting = len(self.outbox)
            try:
                self.outbox.flush()
                latest = history.page(limit=1).messages
            except TablestoreMemoryError as error:
                self.screen.problem(f"{error} Try /retry again.")
                return
            if waiting:
                self.screen.note("What was waiting is stored now.")
            if latest and is_unanswered(latest[-1]):
                self._answer(history, latest[-1])
            elif not waiting:
                self.screen.note("Nothing to do: everything is stored, and the last message has its answer.")

    def _answer(self, history: TablestoreChatMessageHistory, question: BaseMessage) -> None:
        """Ask the model, and store its answer."""
        answer = self._ask(history, question)
        if answer is None:
            return
        try:
            self.outbox.deliver(history, answer)
        except TablestoreMemoryError as error:
            later = f" {_LATER}" if len(self.outbox) else ""
            self.screen.problem(f"The answer is not stored: {error}{later}")

    def _ask(self, history: TablestoreChatMessageHistory, question: BaseMessage) -> AIMessage | None:
        """The model's answer, shown as it comes, up to where it is stopped; None where there is none to store."""
        said: list[BaseMessageChunk] = []
        stopped, failure = False, ""
        try:
            with self.interrupts.let_through():
                # A question that is longer than what is told of the conversation is told alone.
                messages = history.messages or [question]
                self._stream([self._system_message(str(question.text)), *messages], said)
        except KeyboardInterrupt:
            stopped = True
        except TablestoreMemoryError as error:
            failure = f"The conversation could not be read: {error} /retry asks again."
        except Exception as error:  # noqa: BLE001 - models raise whatever they like, and the chat goes on
            kept = "What it said so far is not stored" if said else "Nothing is stored as an answer"
            reason = shortened(f"{type(error).__name__}: {error}", _ERROR)
            failure = f"The model failed. {kept}; /retry asks again. {reason}"
        self.screen.end_answer(stopped=stopped)
        if failure:
            self.screen.problem(failure)
        elif _says_something(said):
            return _assembled(said, stopped=stopped)
        elif stopped:
            self.screen.note("Stopped before the answer began. /retry asks again.")
        else:
            self.screen.problem("The model answered nothing, so nothing is stored. /retry asks again.")
        return None

    def _stream(self, messages: Sequence[BaseMessage], said: list[BaseMessageChunk]) -> None:
        """Ask the model and show its answer as it comes. `said` holds what was said so far, whatever happens."""
        begun = False
        for chunk in self.model.stream(messages):
            said.append(chunk)
            text = str(chunk.text)
            if text:
                if not begun:
                    self.screen.begin_answer()
                    begun = True
                self.screen.piece(text)

    def _system_message(self, question: str) -> SystemMessage:
        """What the model is told besides the conversation. What cannot be looked up is left out, and that is said."""
        parts = [_INSTRUCTIONS]
        try:
            memories = self.remembering.recall(question)
        except TablestoreMemoryError as error:
            self.screen.problem(f"Answering without memories: {error}")
            memories = []
        if memories:
            self.screen.recalled("Memory", memories)
            parts.append("\n".join(["What you know of the user:", *memories]))
        if self.knowledge is not None:
            try:
                passages = self.knowledge.search(question)
            except TablestoreMemoryError as error:
                self.screen.problem(f"Answering without knowledge: {error}")
                passages = []
            if passages:
                self.screen.recalled("Knowledge", [f"{source}: {shortened(text, 80)}" for source, text in passages])
                parts += [f"From {source}:\n{text}" for source, text in passages]
        return SystemMessage("\n\n".join(parts))


def _assembled(said: Sequence[BaseMessageChunk], *, stopped: bool) -> AIMessage:
    """The answer that pieces make."""
    whole = said[0]
    for chunk in said[1:]:
        whole = whole + chunk
    message = message_chunk_to_message(whole)
    assert isinstance(message, AIMessage)
    if not message.id:
        message.id = str(uuid.uuid4())
    if stopped:
        message.response_metadata["finish_reason"] = INTERRUPTED
    return message


def _says_something(said: Sequence[BaseMessageChunk]) -> bool:
    return any(str(chunk.text).strip() for chunk in said)
