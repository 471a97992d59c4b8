"""The conversation that is stored in the benchmarks: questions of a line or two, answers of a paragraph."""

from __future__ import annotations

from langchain_core.messages import AIMessage, HumanMessage

_QUESTIONS = (
    "What should I pack for five days of walking in Yunnan in late October, if it may rain?",
    "我下周去杭州出差 早上想跑步 西湖边有没有安静一点的路线",
    "Can you compare the two invoices that I sent yesterday and tell me where the totals differ?",
    "Remind me which of the restaurants on your list had a table outside and was open on Mondays.",
)
_ANSWER = (
    "For late October plan for cool mornings and mild afternoons: layers that dry quickly, a light rain jacket, and "
    "shoes with some grip, because paths in the hills stay wet for a day after rain. "
    "早晚温差大 带一件薄羽绒服会更舒服。"
    "A dry bag for documents and a spare pair of socks weigh little and are what people miss most. "
)


def question(number: int) -> str:
    """What the user says in turn `number`."""
    return f"{number}. {_QUESTIONS[number % len(_QUESTIONS)]}"


def answer(number: int) -> str:
    """What the model says in turn `number`: about 350 to 700 characters."""
    return f"{number}. {_ANSWER * (1 + number % 2)}"


def turn(number: int) -> list[HumanMessage | AIMessage]:
    """Both messages of turn `number`, as a chain adds them: the answer with the id and the usage of its run."""
    return [
        HumanMessage(question(number)),
        AIMessage(
            answer(number),
            id=f"lc_run--{number:032x}",
            response_metadata={"model_name": "qwen-plus", "finish_reason": "stop"},
            usage_metadata={"input_tokens": 800 + number, "output_tokens": 160, "total_tokens": 960 + number},
        ),
    ]
