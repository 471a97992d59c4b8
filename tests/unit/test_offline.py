"""The offline stand-in: what it tells back, how it streams, and when it calls a tool."""

from __future__ import annotations

import asyncio
import time

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages
from langchain_core.tools import tool

from langchain_tablestore_memory import OfflineChatModel


@pytest.fixture
def model():
    return OfflineChatModel()


def ask(model, *said):
    """The answer to the last line of a conversation, the model having answered all lines before."""
    messages = []
    for line in said:
        messages.append(HumanMessage(line))
        messages.append(model.invoke(messages))
    return messages[-1].text


ENGLISH = [
    ("My name is Ada Lovelace.", "What is my name?", "Your name is Ada Lovelace."),
    ("my name's Ada", "I forgot. What is my name?", "You told me: “my name's Ada”"),
    ("Please call me Ada, will you.", "Who am I?", "Your name is Ada."),
    ("I am Ada and I live in New York City.", "Where do I live?", "You live in New York City."),
    ("Hello, I'm Ada from Paris!", "Do you remember my name?", "Your name is Ada."),
    ("I moved to Xi'an.", "Which city do I live in?", "You live in Xi'an."),
    ("I work as a data engineer at a bank, mostly.", "What do I do for a living?", "You are a data engineer at a bank."),
    ("I'm a nurse.", "what is my job", "You are a nurse."),
    ("My job is teaching.", "What is my job?", "Your job is teaching."),
    ("I work for Alibaba.", "Where do I work?", "You work at Alibaba."),
    ("I really like hiking, too.", "What do I like?", "You like hiking."),
    ("I love eating noodles. I enjoy chess.", "What do I like to play?", "You like eating noodles and chess."),
    ("I don't like rain.", "What don't I like?", "You do not like rain."),
    ("I was born on 3 May 1990.", "When is my birthday?", "Your birthday is 3 May 1990."),
    ("I am 42 years old.", "How old am I?", "You are 42 years old."),
    ("I have two cats and a job.", "Do I have any pets?", "You have two cats."),
    ("My dog is called Rex.", "What is my dog called?", "You have a dog called Rex."),
    ("I'm allergic to peanuts.", "Am I allergic to anything?", "You are allergic to peanuts."),
    ("My favourite colour is dark green.", "What's my favourite colour?", "Your favourite colour is dark green."),
    ("My sister is called Zoe, my car is my pride.", "What is my car?", "Your car is your pride."),
    ("I'm going to Xi'an in May.", "Where am I going?", "You are going to Xi'an in May."),
    ("Please remember that the door code is 1234.", "What did I ask you to remember?", "You asked me to remember: the door code is 1234."),
    ("The spare key hangs behind the clock.", "Where is the spare key?", "You told me: “The spare key hangs behind the clock.”"),
]  # fmt: skip

CHINESE = [
    ("我叫小明。", "我叫什么名字？", "你叫小明。"),
    ("我的名字是王小明", "你还记得我的名字吗？", "你的名字是王小明。"),
    ("叫我老王就好", "我是谁？", "你叫老王。"),
    ("我叫小明，住在杭州，是一名数据工程师。", "我住在哪里？", "你住在杭州。"),
    ("我叫小明，住在杭州，是一名数据工程师。", "我是做什么的？", "你是数据工程师。"),
    ("我来自四川", "我来自哪里？", "你住在四川。"),
    ("我在阿里云工作。", "我在哪里上班？", "你在阿里云工作。"),
    ("我很喜欢吃火锅和小笼包。", "我喜欢吃什么？", "你喜欢吃火锅和小笼包。"),
    ("我喜欢爬山，也喜欢吃面。", "我喜欢吃什么？", "你喜欢吃面。"),
    ("我不喜欢下雨。", "我不喜欢什么？", "你不喜欢下雨。"),
    ("我的生日是5月3日。", "我的生日是哪天？", "你的生日是5月3日。"),
    ("我今年三十岁了", "我今年多大？", "你三十岁。"),
    ("我养了一只猫，叫咪咪。", "我的猫叫什么？", "你有一只猫，叫咪咪。"),
    ("我对花生过敏。", "我对什么过敏？", "你对花生过敏。"),
    ("我最喜欢的颜色是绿色。", "我最喜欢的颜色是什么？", "你最喜欢的颜色是绿色。"),
    ("我的女儿叫小红。", "我的女儿叫什么？", "你的女儿是小红。"),
    ("我下个月打算去西安旅行。", "我打算去哪里？", "你要去西安旅行。"),
    ("请记住门的密码是1234。", "我让你记住什么？", "你让我记住：门的密码是1234。"),
    ("备用钥匙挂在时钟后面。", "备用钥匙在哪里？", "你说过：“备用钥匙挂在时钟后面。”"),
]


@pytest.mark.parametrize(("said", "question", "answer"), ENGLISH + CHINESE)
def test_it_tells_back_what_was_said(model, said, question, answer):
    assert ask(model, said, question) == answer


@pytest.mark.parametrize(
    ("said", "question", "answer"),
    [
        ("我叫小明", "What is my name?", "Your name is 小明."),
        ("My name is Ada", "我叫什么名字？", "你叫Ada。"),
        ("My favourite colour is green. I like hiking.", "我喜欢什么？", "你喜欢hiking。"),
    ],
)
def test_it_answers_in_the_language_of_the_question(model, said, question, answer):
    assert ask(model, said, question) == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is my name?", "You have not told me your name in this conversation."),
        ("What's my shoe size?", "You have not told me your shoe size in this conversation."),
        ("我叫什么名字？", "在这段对话里，你还没有告诉我你的名字。"),
        ("我的车牌号是什么？", "在这段对话里，你还没有告诉我你的车牌号。"),
    ],
)
def test_it_says_what_it_was_not_told(model, question, answer):
    assert ask(model, "Good morning", question) == answer


def test_a_later_fact_replaces_an_earlier_one(model):
    assert ask(model, "I live in Hangzhou.", "I moved to Beijing.", "Where do I live?") == "You live in Beijing."


def test_facts_that_hold_together_are_told_together(model):
    said = ["I like tea.", "I like hiking.", "I like tea.", "What do I like?"]
    assert ask(model, *said) == "You like hiking and tea."


def test_a_question_states_no_fact(model):
    assert "not told me" in ask(model, "Is my name Bob?", "Do you think my name is Bob?", "What is my name?")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("I am Ada and I live in Hangzhou.", "Nice to meet you, Ada. Noted: You live in Hangzhou."),
        ("I like tea.", "Noted: You like tea."),
        ("我叫小明，我喜欢茶。", "很高兴认识你，小明。记住了：你喜欢茶。"),
    ],
)
def test_it_acknowledges_what_is_new(model, said, answer):
    assert ask(model, said) == answer


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What did I say first?", "The first thing you said was: “Hello there”"),
        ("What did I just say?", "Just before, you said: “What is my name?”"),
        ("What did you say?", "My last answer was: “Your name is Ada.”"),
        ("How many questions did I ask?", "Before this one you asked 1 question."),
        ("How many messages did I send?", "Before this one you sent 3 messages."),
        ("What do you know about me?", "This is what you told me. Your name is Ada."),
        ("我最开始说了什么？", "你最开始说的是：“Hello there”"),
        ("我刚才说了什么？", "你上一句说的是：“What is my name?”"),
        ("我问了几个问题？", "在这个问题之前，你问了1个问题。"),
        ("你还记得我的什么？", "你告诉过我这些：你叫Ada。"),
    ],
)
def test_it_knows_the_conversation(model, question, answer):
    assert ask(model, "Hello there", "My name is Ada.", "What is my name?", question) == answer


def test_it_knows_that_nothing_was_said(model):
    assert ask(model, "What did I say first?") == "Nothing was said before this."


@pytest.mark.parametrize(
    ("knowledge", "question", "answer"),
    [
        (
            "You are a helpful assistant. The office opens at 9 am.",
            "When does the office open?",
            "The office opens at 9 am.",
        ),
        ("The user's name is Bob.", "What is my name?", "The user's name is Bob."),
        ("- Invoices are paid within 30 days.\n- Refunds take a week.", "How long do refunds take?", "given: Refunds take a week."),
        ("你是助手。公司的年假是十五天。", "公司的年假有多少天？", "公司的年假是十五天。"),
        ("From kitchen.md:\n# The kitchen\nThe kitchen is upstairs.", "Where is the kitchen?", "given: The kitchen is upstairs."),
        ("From 食堂.txt:\n## 食堂\n食堂说明：\n公司的食堂在二楼。", "食堂在几楼？", "资料：公司的食堂在二楼。"),
    ],
)  # fmt: skip
def test_it_finds_the_answer_in_what_it_is_given(model, knowledge, question, answer):
    assert model.invoke([SystemMessage(knowledge), HumanMessage(question)]).text.endswith(answer)


PASSAGES = SystemMessage("""Answer from these passages.

[lake.md] The lake freezes in January. For hiking in winter, Hangzhou has the hills behind the lake.
[park.md] For hiking in winter, take warm shoes.
[西安.md] 西安的城墙建于明代。到西安旅行，可以吃肉夹馍。
[北京.md] 到北京旅行，可以吃烤鸭。
""")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When does the lake freeze?", "From what I was given: The lake freezes in January. [lake.md]"),
        ("北京的烤鸭好吃吗？", "根据提供给我的资料：到北京旅行，可以吃烤鸭。 [北京.md]"),
    ],
)
def test_it_tells_where_an_answer_is_from(model, question, answer):
    assert model.invoke([PASSAGES, HumanMessage(question)]).text == answer


@pytest.mark.parametrize(
    ("said", "question", "answer"),
    [
        (
            "I live in Hangzhou. I like chess.",
            "Where can I go hiking in winter?",
            "You live in Hangzhou. From what I was given: For hiking in winter, Hangzhou has the hills behind the lake. [lake.md]",
        ),
        (
            "I live in Berlin. I have two cats.",
            "Where can I go hiking in winter?",
            "From what I was given: For hiking in winter, Hangzhou has the hills behind the lake. [lake.md]",
        ),
        (
            "我下个月打算去西安。我喜欢下棋。",
            "我旅行的时候吃什么好？",
            "你要去西安。根据提供给我的资料：到西安旅行，可以吃肉夹馍。 [西安.md]",
        ),
        (
            "我下个月打算去北京。",
            "我旅行的时候吃什么好？",
            "你要去北京。根据提供给我的资料：到北京旅行，可以吃烤鸭。 [北京.md]",
        ),
    ],
)
def test_it_brings_together_what_it_was_told_and_what_it_was_given(model, said, question, answer):
    messages = [PASSAGES, HumanMessage(said), AIMessage("Noted."), HumanMessage(question)]
    assert model.invoke(messages).text == answer


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Where can people go hiking in winter?", ["Hangzhou"]),  # not about the human
        ("How do I repair my bicycle?", ["offline stand-in"]),  # about the human, and about nothing that it was given
    ],
)
def test_what_it_was_told_is_left_out_where_it_does_not_matter(model, question, words):
    messages = [PASSAGES, HumanMessage("I live in Hangzhou and I like hiking."), HumanMessage(question)]
    answer = model.invoke(messages).text
    assert "You live" not in answer
    assert "You like" not in answer
    for word in words:
        assert word in answer


def test_what_the_human_said_counts_more_than_what_it_was_given(model):
    messages = [SystemMessage("The user's name is Bob."), HumanMessage("My name is Ada."), HumanMessage("My name?")]
    assert model.invoke(messages).text == "Your name is Ada."


@pytest.mark.parametrize(
    "question", ["What is the capital of France?", "Write a poem, would you?", "今天天气怎么样？", "?"]
)
def test_it_never_pretends_to_be_a_real_model(model, question):
    answer = model.invoke([SystemMessage("You are a helpful assistant."), HumanMessage(question)]).text
    assert "offline stand-in" in answer or "离线替身" in answer
    assert "DASHSCOPE_API_KEY" in answer


def test_it_says_what_it_is():
    model = OfflineChatModel()
    assert model._llm_type == "offline-stand-in"
    assert model._identifying_params == {"model_name": "offline-stand-in"}
    assert "stand-in" in OfflineChatModel.__doc__
    assert model.invoke("Hi").response_metadata["model_name"] == "offline-stand-in"
    assert "offline stand-in" in model.invoke("Hi").text


def test_content_blocks_and_other_messages_are_read(model):
    messages = [
        HumanMessage([{"type": "text", "text": "My name is Ada."}, {"type": "image", "url": "https://example.org/a.png"}]),
        AIMessage("Your name is Bob."),
        HumanMessage([{"type": "text", "text": "What is my name?"}]),
    ]  # fmt: skip
    assert model.invoke(messages).text == "Your name is Ada."


@pytest.mark.parametrize("messages", [[SystemMessage("Be brief.")], [AIMessage("Hi")], [HumanMessage("")]])
def test_without_a_question_it_says_what_it_is(model, messages):
    assert "offline stand-in" in model.invoke(messages).text


def test_stop_sequences_end_the_answer(model):
    messages = [HumanMessage("My name is Ada Lovelace."), HumanMessage("What is my name?")]
    assert model.invoke(messages, stop=["Lovelace"]).text == "Your name is Ada "
    assert "".join(chunk.text for chunk in model.stream(messages, stop=["is", " name"])) == "Your"


def test_usage_counts_words_and_characters(model):
    reply = model.invoke([HumanMessage("My name is Ada."), HumanMessage("我叫什么？")])
    assert reply.usage_metadata == {"input_tokens": 4 + 5, "output_tokens": 4, "total_tokens": 13}
    assert reply.text == "你叫Ada。"
    assert model.get_num_tokens("two words") == 2
    assert model.get_num_tokens("两个字") == 3
    assert model.get_num_tokens("") == 0


def test_it_counts_tokens_for_trimming(model):
    messages = [HumanMessage("one two three four"), AIMessage("five six"), HumanMessage("seven")]
    assert trim_messages(messages, max_tokens=5, token_counter=model, strategy="last") == messages[1:]


# Streaming


def streamed(chunks):
    """The pieces of a stream, and the sum of its chunks."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return [chunk.text for chunk in chunks if chunk.text], total


def conversation(language):
    if language == "en":
        return [HumanMessage("I like green tea."), HumanMessage("What do I like?")]
    return [HumanMessage("我喜欢绿茶。"), HumanMessage("我喜欢什么？")]


@pytest.mark.parametrize(
    ("language", "pieces"), [("en", ["You ", "like ", "green ", "tea."]), ("zh", list("你喜欢绿茶。"))]
)
def test_it_streams_word_by_word_and_character_by_character(model, language, pieces):
    messages = conversation(language)
    found, total = streamed(list(model.stream(messages)))
    assert found == pieces
    whole = model.invoke(messages)
    assert (total.text, total.usage_metadata) == (whole.text, whole.usage_metadata)
    assert total.response_metadata["model_name"] == "offline-stand-in"


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_async_streaming_gives_the_same(model, language):
    messages = conversation(language)
    found, total = streamed([chunk async for chunk in model.astream(messages)])
    assert found == streamed(list(model.stream(messages)))[0]
    assert total.text == (await model.ainvoke(messages)).text


def test_callbacks_hear_every_piece(model):
    class Listener(BaseCallbackHandler):
        def __init__(self):
            self.heard = []

        def on_llm_new_token(self, token, **kwargs):
            self.heard.append(token)

    listener = Listener()
    list(model.stream(conversation("en"), {"callbacks": [listener]}))
    assert "".join(listener.heard) == "You like green tea."


def test_the_delay_paces_streams_alone():
    model = OfflineChatModel(delay=0.05)
    begin = time.perf_counter()
    assert model.invoke(conversation("en")).text == "You like green tea."
    between = time.perf_counter()
    assert len(list(model.stream(conversation("en")))) >= 4
    assert time.perf_counter() - between >= 4 * 0.05 > between - begin


async def test_the_delay_does_not_hold_up_the_loop():
    model = OfflineChatModel(delay=0.05)

    async def read():
        return [chunk async for chunk in model.astream(conversation("en"))]

    begin = time.perf_counter()
    await asyncio.gather(*(read() for _ in range(10)))
    assert time.perf_counter() - begin < 10 * 4 * 0.05


# Tools


@tool
def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    return f"Sunny in {city}"


@tool
def search_orders(query: str) -> str:
    """Search the customer's orders."""
    return f"Nothing found for {query}"


@tool
def convert(amount: float, currency: str, exact: bool) -> str:
    """Convert an amount of money to another currency."""
    return f"{amount} {currency} {exact}"


@tool("查询天气")
def weather_in_chinese(city: str) -> str:
    """查询一个城市的天气预报"""
    return f"{city}晴"


TOOLS = [get_weather, search_orders, convert, weather_in_chinese]


def run_agent(model, question):
    """The loop of an agent: call tools until the model answers."""
    tools = {each.name: each for each in TOOLS}
    bound = model.bind_tools(TOOLS)
    messages = [HumanMessage(question)]
    for _ in range(5):
        reply = bound.invoke(messages)
        messages.append(reply)
        if not reply.tool_calls:
            return messages
        messages += [tools[call["name"]].invoke(call) for call in reply.tool_calls]
    raise AssertionError("the model calls tools for ever")


@pytest.mark.parametrize(
    ("question", "name", "args"),
    [
        ("What is the weather in Hangzhou?", None, None),
        ("What is the current weather in the city of Hangzhou?", "get_weather", {"city": "Hangzhou"}),
        ("Please use get_weather for 'Xi an'.", "get_weather", {"city": "Xi an"}),
        ("Search my orders for a lamp", "search_orders", {"query": "Search my orders for a lamp"}),
        ("Convert 12.5 to another currency for Anna", "convert", {"amount": 12.5, "currency": "Anna", "exact": True}),
        ("帮我查询天气，城市是“杭州”", "查询天气", {"city": "杭州"}),
        ("My name is Ada.", None, None),
    ],
)
def test_it_calls_a_tool_that_clearly_fits(model, question, name, args):
    calls = model.bind_tools(TOOLS).invoke(question).tool_calls
    assert [(call["name"], call["args"]) for call in calls] == ([] if name is None else [(name, args)])


def test_it_answers_from_what_the_tool_returned(model):
    messages = run_agent(model, "Tell me the current weather of the city of Hangzhou")
    assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert messages[1].text == ""
    assert messages[1].response_metadata["finish_reason"] == "tool_calls"
    assert messages[-1].text == "get_weather says: Sunny in Hangzhou"


def test_a_new_question_may_call_the_tool_again(model):
    bound = model.bind_tools(TOOLS)
    first = run_agent(model, "current weather of the city of Hangzhou")
    again = bound.invoke([*first, HumanMessage("And the current weather of the city of Beijing?")])
    assert again.tool_calls[0]["args"] == {"city": "Beijing"}
    assert again.tool_calls[0]["id"] != first[1].tool_calls[0]["id"]


def test_streamed_tool_calls_add_up(model):
    question = "current weather of the city of Hangzhou"
    _, total = streamed(list(model.bind_tools(TOOLS).stream(question)))
    (call,) = model.bind_tools(TOOLS).invoke(question).tool_calls
    assert total.tool_calls == [call | {"id": total.tool_calls[0]["id"]}]


def test_each_tool_call_has_an_id_of_its_own(model):
    bound = model.bind_tools(TOOLS)
    ids = {bound.invoke("current weather of the city of Hangzhou").tool_calls[0]["id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", []),
        ("auto", []),
        ("any", ["get_weather"]),
        ("required", ["get_weather"]),
        (True, ["get_weather"]),
        ("search_orders", ["search_orders"]),
        ({"type": "function", "function": {"name": "convert"}}, ["convert"]),
    ],
)
def test_tool_choice_is_obeyed(model, choice, names):
    calls = model.bind_tools(TOOLS, tool_choice=choice).invoke("How is the weather?").tool_calls
    assert [call["name"] for call in calls] == names


def test_a_tool_choice_that_is_no_tool_is_an_error(model):
    with pytest.raises(ValueError, match="unknown_tool"):
        model.bind_tools(TOOLS, tool_choice="unknown_tool").invoke("Hi")


def test_parameters_of_every_kind_are_filled(model):
    schema = {
        "title": "book",
        "description": "Book a table",
        "type": "object",
        "properties": {
            "people": {"type": "integer"},
            "meal": {"enum": ["lunch", "dinner"]},
            "wishes": {"type": "array", "items": {"type": "string"}},
            "guest": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        },
        "required": ["people", "meal", "wishes", "guest"],
    }
    bound = model.bind_tools([schema], tool_choice="any")
    (call,) = bound.invoke("Book dinner for 4, for Ada").tool_calls
    assert call["args"] == {"people": 4, "meal": "dinner", "wishes": ["Ada"], "guest": {"name": "Ada"}}


def test_it_is_a_chat_model_for_langchain(model):
    assert isinstance(model, BaseChatModel)
    replies = model.batch(["Hello", "你好"])
    assert [reply.text.startswith(("Hello", "你好")) for reply in replies] == [True, True]
