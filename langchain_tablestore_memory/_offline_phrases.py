"""What the offline stand-in recognises and says, in English and in Chinese. Data only; `_offline_answers` reads it."""
# ruff: noqa: RUF001, RUF003 - Chinese punctuation is meant

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Language = Literal["en", "zh"]


class Phrase(NamedTuple):
    """Something to say, in both languages, with places in braces to fill in."""

    en: str
    zh: str

    def say(self, language: Language, **parts: object) -> str:
        """The phrase in one language."""
        return (self.zh if language == "zh" else self.en).format(**parts)


class Attribute(NamedTuple):
    """Something that can be known of somebody.

    Attributes:
        told: How it is told to them.
        missing: What to call it while it is not known.
        many: Whether it can have several values at once; else a later one replaces an earlier one.
    """

    told: Phrase
    missing: Phrase
    many: bool = False


class Statement(NamedTuple):
    """A way to state a fact about oneself.

    Attributes:
        attribute: What it is about; None where the pattern's group ``noun`` says so.
        pattern: Finds the fact, its value as the group ``value``.
        value: How the value is made of the pattern's groups.
    """

    attribute: str | None
    pattern: re.Pattern[str]
    value: str = "{value}"


class Question(NamedTuple):
    """A way to ask for a fact.

    Attributes:
        attributes: What is asked for; the first that is known counts. Empty where the pattern's group
            ``noun`` says so.
        pattern: Finds the question. Its group ``topic``, if any, narrows several values down.
    """

    attributes: tuple[str, ...]
    pattern: re.Pattern[str]


ATTRIBUTES: dict[str, Attribute] = {
    "name": Attribute(Phrase("Your name is {value}.", "你叫{value}。"), Phrase("your name", "你的名字")),
    "home": Attribute(Phrase("You live in {value}.", "你住在{value}。"), Phrase("where you live", "你住在哪里")),
    "job": Attribute(Phrase("You are {value}.", "你是{value}。"), Phrase("what you do", "你的工作")),
    "employer": Attribute(
        Phrase("You work at {value}.", "你在{value}工作。"), Phrase("where you work", "你在哪里工作")
    ),
    "birthday": Attribute(
        Phrase("Your birthday is {value}.", "你的生日是{value}。"), Phrase("your birthday", "你的生日")
    ),
    "age": Attribute(Phrase("You are {value} years old.", "你{value}岁。"), Phrase("your age", "你的年龄")),
    "likes": Attribute(
        Phrase("You like {value}.", "你喜欢{value}。"), Phrase("what you like", "你喜欢什么"), many=True
    ),
    "dislikes": Attribute(
        Phrase("You do not like {value}.", "你不喜欢{value}。"),
        Phrase("what you do not like", "你不喜欢什么"),
        many=True,
    ),
    "pets": Attribute(Phrase("You have {value}.", "你有{value}。"), Phrase("about a pet", "宠物的事"), many=True),
    "allergies": Attribute(
        Phrase("You are allergic to {value}.", "你对{value}过敏。"),
        Phrase("about an allergy", "过敏的事"),
        many=True,
    ),
    "plans": Attribute(
        Phrase("You are going to {value}.", "你要去{value}。"),
        Phrase("about a trip", "出行的计划"),
        many=True,
    ),
    "notes": Attribute(
        Phrase("You asked me to remember: {value}.", "你让我记住：{value}。"),
        Phrase("to remember anything", "要记住什么"),
        many=True,
    ),
}
ANY_ATTRIBUTE = Attribute(Phrase("Your {noun} is {value}.", "你{noun}是{value}。"), Phrase("your {noun}", "你{noun}"))
"""What "my ... is" and "我的...是" state of anything else."""

SYNONYMS = {
    "name": "name", "full name": "name", "first name": "name", "名字": "name", "姓名": "name",
    "birthday": "birthday", "date of birth": "birthday", "生日": "birthday",
    "job": "job", "profession": "job", "occupation": "job", "职业": "job", "工作": "job",
    "age": "age", "年龄": "age",
    "home": "home", "city": "home", "hometown": "home", "home town": "home", "家": "home",
    "hobby": "likes", "hobbies": "likes", "爱好": "likes", "兴趣": "likes",
}  # fmt: skip
"""The attributes that such nouns mean."""

_PET = r"(?:cat|dog|kitten|puppy|rabbit|parrot|hamster|goldfish|fish|turtle|bird|horse)"
_VALUE = r"(?P<value>[^,;!?\n]+?)"
_END = r"(?=\s*(?:$|[,;!?]|\.(?:\s|$)|\b(?:and|but|so) (?:I|my)\b|\b(?:because|but)\b))"
# "我叫小明，住在杭州": what follows a comma needs no subject of its own.
_ZH_I = r"(?:我|(?<=[，,]))"
_ZH_VALUE = r"(?P<value>[^，,。；;！!？?\s]+?)"
_ZH_END = r"(?=$|[，,。；;！!？?\s]|但|而且|因为)"
_ZH_PET = r"[一二两三四五六七八九十\d]+[只条个匹头][^，,。；;！!？?\s]*?"
_ZH_NAMED = r"[，,]?(?:它|牠)?的?(?:名字)?叫[^，,。；;！!？?\s]+"


def _i(*parts: str) -> re.Pattern[str]:
    return re.compile("".join(parts), re.IGNORECASE)


STATEMENTS: tuple[Statement, ...] = (
    # Where two find the same words, the first in this list counts.
    Statement(
        "pets",
        _i(rf"\bmy (?P<kind>{_PET})(?:'s name is| is called| is named) ", _VALUE, _END),
        value="a {kind} called {value}",
    ),
    Statement(
        "pets",
        _i(
            rf"\bI(?:'ve| have)(?: got)? (?P<value>(?:an?|one|two|three|four|five|\d+) (?:\w+ )?{_PET}s?\b"
            rf"(?: (?:called|named) [^,;.!?\n]+?{_END})?)",
        ),
    ),
    Statement(None, _i(r"\bmy (?P<noun>[\w' -]{1,40}?) (?:is|are|was) ", _VALUE, _END)),
    Statement("name", _i(r"\bcall me ", _VALUE, _END)),
    # A capital makes the difference between "I am Ada" and "I am tired".
    Statement(
        "name",
        re.compile(r"\bI(?:'m| am) (?P<value>[A-Z][\w'-]+(?: [A-Z][\w'-]+){0,2})(?=\s*(?:$|[,.;!]|and\b|from\b))"),
    ),
    Statement(
        "home",
        _i(r"\bI(?:'m| am| have)?(?: now| currently)? (?:live in|living in|moved to|based in|from) ", _VALUE, _END),
    ),
    Statement("employer", _i(r"\bI(?:'m| am)? (?:work|working) (?:at|for) ", _VALUE, _END)),
    Statement("job", _i(r"\bI(?:'m| am)? (?:work|working) as ", _VALUE, _END)),
    Statement("allergies", _i(r"\bI(?:'m| am) allergic to ", _VALUE, _END)),
    Statement("age", _i(r"\bI(?:'m| am) (?P<value>\d{1,3})\b")),
    Statement("birthday", _i(r"\bI was born (?:on|in) ", _VALUE, _END)),
    Statement("job", _i(r"\bI(?:'m| am) (?P<value>an? [^,;!?\n]+?)", _END)),
    Statement("dislikes", _i(r"\bI(?: really)? (?:don't like|do not like|dislike|hate|can't stand) ", _VALUE, _END)),
    Statement(
        "likes",
        _i(
            r"\bI(?: really| also| especially| absolutely| do| just)* (?:like|love|enjoy|adore|prefer) "
            r"(?!(?:it|that|this|you|them)\b)",
            _VALUE,
            _END,
        ),
    ),
    Statement(
        "plans",
        _i(
            r"\bI(?:'m| am|'ll| will) (?:be )?(?:going to|travell?ing to|flying to|moving to|visit|visiting) ",
            _VALUE,
            _END,
        ),
    ),
    Statement("notes", _i(r"^(?:please )?remember(?: that|:)? (?P<value>.+?)[.!]?$")),
    Statement(None, _i(r"我(?P<noun>的?最(?:喜欢|爱)的?[^是，。]{0,10}?)是", _ZH_VALUE, _ZH_END)),
    Statement(None, _i(r"我(?P<noun>的[^是叫，。我]{1,10}?)(?:是|叫)", _ZH_VALUE, _ZH_END)),
    Statement("birthday", _i(r"我(?:出生于|生于|生日是|生日在)", _ZH_VALUE, _ZH_END)),
    Statement("age", _i(r"我(?:今年)?(?:已经)?(?P<value>\d{1,3}|[一二三四五六七八九十百]{1,4})岁")),
    Statement("name", _i(r"(?:我叫|叫我)(?:做)?", _ZH_VALUE, _ZH_END)),
    Statement("home", _i(_ZH_I, r"(?:现在|目前)?家?(?:住在|住|搬到了|搬到|定居在|来自)", _ZH_VALUE, _ZH_END)),
    Statement("employer", _i(r"我(?:现在|目前)?在", _ZH_VALUE, r"(?:工作|上班)")),
    Statement("allergies", _i(r"我对", _ZH_VALUE, r"过敏")),
    Statement("pets", _i(rf"我(?:还|家里|家)?(?:有|养了|养着|养)(?P<value>{_ZH_PET}(?:{_ZH_NAMED})?)", _ZH_END)),
    Statement("dislikes", _i(r"我(?:很|非常|特别|也|最)*(?:不喜欢|不爱|讨厌)", _ZH_VALUE, _ZH_END)),
    Statement("likes", _i(_ZH_I, r"(?:很|非常|特别|也|还|最|平时)*(?:喜欢|热爱|爱)", _ZH_VALUE, _ZH_END)),
    Statement("plans", _i(r"我\w{0,6}?(?:要|打算|准备|计划)(?:去|到)", _ZH_VALUE, _ZH_END)),
    Statement("job", _i(_ZH_I, r"(?:现在|目前)?(?:是|当)(?:一名|一位)", _ZH_VALUE, _ZH_END)),
    Statement(
        "job", _i(r"我(?:现在|目前)?(?:是|当)(?:一名|一个|一位|名|个|位)?(?!什么|谁|说|在|想|要)", _ZH_VALUE, _ZH_END)
    ),
    Statement("notes", _i(r"^(?:请|帮我)*记(?:住|得|一下)[，,：:]?(?P<value>.+?)[。！!]?$")),
)

QUESTIONS: tuple[Question, ...] = (
    # The first in this list that is found counts.
    Question(("pets",), _i(rf"\bmy (?P<topic>{_PET})\b|\b(?:what|which|any) pets?\b|\bdo I have an? {_PET}\b")),
    Question(("name", "job"), _i(r"\bmy name\b|\bwho am I\b|\bwhat am I called\b")),
    Question(
        ("home",),
        _i(
            r"\bwhere (?:do I live|am I from|am I living|am I based)\b",
            r"|\b(?:which|what) (?:city|town|country) (?:do|am) I\b",
        ),
    ),
    Question(("job", "employer"), _i(r"\bwhat do I do\b|\bmy (?:job|profession|occupation)\b|\bdo for a living\b")),
    Question(("employer", "job"), _i(r"\b(?:where|who) do I work\b|\bwhom? do I work for\b")),
    Question(("dislikes",), _i(r"\bwhat (?:do I (?:hate|dislike)|don't I like|do I not like)\b")),
    Question(
        ("likes",),
        _i(
            r"\bwhat (?:\w+ )?(?:do|would) I (?:like|love|enjoy|prefer)(?: to (?P<topic>[a-z]+))?\b",
            r"|\bmy (?:hobby|hobbies|interests)\b",
        ),
    ),
    Question(("birthday",), _i(r"\bmy birthday\b|\bwhen was I born\b")),
    Question(("age",), _i(r"\bhow old am I\b|\bmy age\b")),
    Question(("allergies",), _i(r"\bI allergic\b|\bmy allerg(?:y|ies)\b")),
    Question(
        ("plans",),
        _i(r"\bwhere (?:am I|will I be|will I) (?:going|travell?ing|flying|moving|go|travel)\b|\bmy (?:trip|plans?)\b"),
    ),
    Question(("notes",), _i(r"\bask(?:ed)? you to remember\b")),
    Question(
        (),
        _i(
            r"\b(?:what|who|when|where|which|how)(?:'s| is| are| was) my (?P<noun>[\w' -]{1,40}?)",
            r"(?: again| called| named)?\s*(?:$|[?.,!])",
        ),
    ),
    Question((), _i(r"\b(?:tell me|remind me of|do you (?:know|remember)) my (?P<noun>[\w' -]{1,40}?)\s*(?:$|[?.,!])")),
    Question((), _i(r"我(?P<noun>的?最(?:喜欢|爱)的?[^是，。？]{1,10}?)是(?:什么|谁|哪)")),
    Question(
        ("name", "job"),
        _i(
            r"我(?:的名字)?(?:是|叫|做)*什么名字|我(?:的名字)?(?:叫|是)(?:做)?什么(?=$|[？?。])",
            r"|我的名字|我是谁|称呼我|我的姓名",
        ),
    ),
    Question(("employer", "job"), _i(r"我(?:现在)?在(?:哪|什么)[^住]{0,4}(?:工作|上班)")),
    Question(("home",), _i(r"我(?:现在)?家?(?:住在?|是?来自|在)(?:哪|什么地方|什么城市)|我的?家在哪")),
    Question(("job", "employer"), _i(r"我(?:是)?做什么|我的(?:工作|职业)|我是干什么")),
    Question(("dislikes",), _i(r"我(?:不喜欢|不爱|讨厌)(?P<topic>吃|喝|看|玩|听)?(?:什么|哪)")),
    Question(
        ("likes",),
        _i(r"我(?:最|平时|都)?(?:喜欢|爱)(?P<topic>吃|喝|看|玩|听)?(?:什么|哪|做什么)|我的?(?:有什么)?(?:爱好|兴趣)"),
    ),
    Question(("birthday",), _i(r"我的?生日|我(?:是)?什么时候出生")),
    Question(("age",), _i(r"我(?:今年)?(?:几岁|多大|多少岁)|我的?年龄")),
    Question(
        ("pets",),
        _i(
            r"我(?:的|家的?)(?P<topic>猫|狗|兔子|鸟|鱼|仓鼠)",
            r"|我家?(?:有|养)了?(?:什么|几[只条个])?(?:宠物|猫|狗)|我的宠物",
        ),
    ),
    Question(("allergies",), _i(r"我对\S{0,4}过敏")),
    Question(("plans",), _i(r"我\w{0,6}?(?:要|打算|准备|计划)去(?:哪|什么地方)")),
    Question(("notes",), _i(r"让你记(?:住|得)")),
    Question((), _i(r"我(?P<noun>的[^是叫，。？?]{1,10}?)(?:是|叫)(?:什么|谁|哪|多少|几)")),
)

ABOUT_CONVERSATION: dict[str, re.Pattern[str]] = {
    "questions": _i(r"how many questions|[问提]了?(?:你|过)?(?:多少|几)个?(?:问题|次)|(?:多少|几)个问题"),
    "messages": _i(r"how many messages|(?:多少|几)[条个]?(?:消息|信息|句话)"),
    "first": _i(
        r"what did I (?:first )?(?:say|ask|tell you)[\w ]* first|did I first (?:say|ask)",
        r"|my (?:very )?first (?:message|question)|我(?:最(?:开始|先|初|早)|第一[句次条个]|一开始)",
    ),
    "previous": _i(
        r"what did I (?:just |last )?(?:say|ask|tell you)(?: (?:just )?(?:now|before|last|earlier))?\s*(?:$|\?)",
        r"|my (?:last|previous) (?:message|question)|我(?:刚才|刚刚|上一?[句次条个])[^，。]{0,4}[说问]",
    ),
    "answer": _i(r"what did you (?:just |last )?(?:say|answer)|你(?:刚才|刚刚|上一?[句次条])[^，。]{0,4}[说答]"),
    "summary": _i(
        r"what do you (?:know|remember) about me|what (?:do|can) you remember|tell me about myself|summari[sz]e",
        r"|what have I told you|你(?:都|还)?(?:知道|记得|了解)(?:关于)?我?的?(?:什么|哪些|多少)|总结",
    ),
}
"""Questions about the conversation itself, by what they ask for."""

IS_QUESTION = {
    "en": _i(
        r"\?\s*$|^(?:(?:and|so|but|please|hey|now|then),? *)?",
        r"(?:what|who|whom|whose|where|when|which|why|how|do|does|did|is|are|am|was|were|can|could|would|will|have|has",
        r"|should|may|tell me|remind me|list|summari[sz]e)\b",
    ),
    "zh": _i(r"[？?]\s*$|什么|谁|哪|几[个次岁条只]|多少|怎么|多大|是否|[吗呢]\s*$|告诉我|总结"),
}
IS_PERSONAL = {"en": _i(r"\b(?:I|me|my)\b"), "zh": _i(r"我")}
GREETING = {
    "en": _i(r"^(?:hi|hello|hey|good (?:morning|afternoon|evening))\b"),
    "zh": _i(r"^(?:你好|您好|嗨|早上好|下午好|晚上好|大家好)"),
}
THANKS = {"en": _i(r"\b(?:thanks|thank you|bye|goodbye)\b"), "zh": _i(r"谢谢|多谢|再见")}

SECOND_PERSON = {
    "en": (
        (_i(r"\bI am\b|\bI'm\b"), "you are"),
        (_i(r"\bI\b|\bme\b"), "you"),
        (_i(r"\bmy\b"), "your"),
        (_i(r"\bmine\b"), "yours"),
        (_i(r"\bmyself\b"), "yourself"),
    ),
    "zh": ((_i("我"), "你"),),
}
"""How what somebody says of themselves is told back to them."""

TRAILING = _i(r"(?:[\s,]*\b(?:too|as well|by the way|please|though|now)\b)$|(?:就好|就行|就可以了?|吧|哦|呀|啊|了)$")
"""What follows a value without being part of it."""

LISTED = Phrase(" and ", "，")
BETWEEN_SENTENCES = Phrase(" ", "")
NICE_TO_MEET = Phrase("Nice to meet you, {name}.", "很高兴认识你，{name}。")
NOTED = Phrase("Noted: {facts}", "记住了：{facts}")
MISSING = Phrase("You have not told me {what} in this conversation.", "在这段对话里，你还没有告诉我{what}。")
SAID = Phrase("You told me: “{text}”", "你说过：“{text}”")
GIVEN = Phrase("From what I was given: {text}", "根据提供给我的资料：{text}")
FIRST = Phrase("The first thing you said was: “{text}”", "你最开始说的是：“{text}”")
PREVIOUS = Phrase("Just before, you said: “{text}”", "你上一句说的是：“{text}”")
LAST_ANSWER = Phrase("My last answer was: “{text}”", "我上一句回答是：“{text}”")
NOTHING_BEFORE = Phrase("Nothing was said before this.", "在这之前还没有说过什么。")
QUESTION_COUNT = Phrase("Before this one you asked {count} question{plural}.", "在这个问题之前，你问了{count}个问题。")
MESSAGE_COUNT = Phrase("Before this one you sent {count} message{plural}.", "在这条消息之前，你发了{count}条消息。")
SUMMARY = Phrase("This is what you told me. {facts}", "你告诉过我这些：{facts}")
TOOL_RESULT = Phrase("{name} says: {text}", "{name} 的结果：{text}")
HELLO = Phrase(
    "Hello! I am an offline stand-in for a chat model. Tell me something about yourself, then ask me about it.",
    "你好！我是聊天模型的离线替身。先告诉我一些关于你的事，再来问我吧。",
)
HELLO_AGAIN = Phrase("Hello, {name}! What would you like to know?", "你好，{name}！想知道什么？")
WELCOME = Phrase("You are welcome.", "不客气。")
READ = Phrase(
    "I have read that, and can tell it back when asked. I can do no more: I am an offline stand-in, no language model.",
    "我读到了，之后可以告诉你。我只能做到这些：我是离线替身，不是真正的语言模型。",
)
FALLBACK = Phrase(
    "I am an offline stand-in, not a language model: I can only tell back what this conversation holds, and it holds "
    "no answer to that. For real answers use Qwen: set DASHSCOPE_API_KEY and take ChatQwen from langchain-qwq.",
    "我是离线替身，不是真正的语言模型：我只能复述这段对话里的内容，而其中没有答案。要得到真正的回答，请使用通义千问："
    "设置 DASHSCOPE_API_KEY，并改用 langchain-qwq 的 ChatQwen。",
)

# fmt: off
STOP_WORDS = frozenset({
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its",
    "just", "know", "like", "me", "my", "no", "not", "now", "of", "on", "one", "or", "our", "please", "remember", "say",
    "she", "should", "so", "some", "tell", "than", "that", "the", "their", "them", "then", "there", "these", "they",
    "this", "to", "up", "us", "user", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will",
    "with", "would", "you", "your",
})
# fmt: on
"""English words that say nothing about what a sentence is about."""
STOP_CHARACTERS = frozenset("的了是我你他她它们在和有吗呢吧啊哪什么谁怎几多少个这那不也就都要会能可以请告诉")
"""The same in Chinese, where pairs of other characters are compared."""
