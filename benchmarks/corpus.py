"""Documents that are made up, the same in every process: text in two languages, a vector, and metadata.

Texts are Chinese and English in turn. Words are drawn by Zipf's law, as in real text: the first few are in most
documents, the last in hardly any. Vectors lie in clusters, as those of real texts do; among directions that are spread
evenly an approximate index finds next to nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

_VOCABULARY = 20_000
_WORDS = 40
_CLUSTERS = 200
_SPREAD = 0.5
"""Length of what sets a vector apart from the middle of its cluster, which has the length 1."""

GROUPS = 100
"""Values of `group` in the metadata: each is in one of a hundred documents."""

_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwxyz", "aeiou"
_FREQUENT = (  # noqa: SIM905 - words are read more easily so
    "数据 模型 学习 系统 用户 问题 方法 研究 时间 公司 技术 服务 信息 结果 工作 中国 市场 产品 城市 经济 "
    "北京 上海 大学 学生 文化 历史 音乐 电影 天气 健康"
).split()
_MIDDLING = (  # noqa: SIM905 - words are read more easily so
    "茶叶 咖啡 火车 飞机 自行车 图书馆 博物馆 医院 医生 护士 老师 校园 数学 物理 化学 生物 地理 哲学 诗歌 小说 "
    "摄影 绘画 雕塑 舞蹈 戏剧 钢琴 吉他 足球 篮球 游泳 登山 旅行 海洋 河流 沙漠 森林 草原 岛屿 冰川 火山 "
    "苹果 香蕉 葡萄 西瓜 豆腐 米饭 面条 饺子 蛋糕 牛奶 蔬菜 厨房 家具 窗户 花园 邮局 银行 保险 股票 合同"
).split()
_CHARACTERS = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学"
    "法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政"
    "四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代"
)
_SEED = 20261121

_COMMON = range(10)
_MIDDLE = range(300, 300 + len(_MIDDLING))
_RARE = range(15_000, _VOCABULARY)


def texts(start: int, stop: int) -> list[str]:
    """The texts of some documents, 40 words each."""
    return [_text(number) for number in range(start, stop)]


def metadata(number: int) -> dict[str, Any]:
    """The metadata of a document."""
    return {"group": number % GROUPS, "year": 2000 + number % 27, "source": f"file-{number // 50}.md"}


def vectors(start: int, stop: int, dimension: int) -> list[list[float]]:
    """The vectors of some documents, as embedding models return them: lists of float32 numbers of length 1."""
    return [
        row
        for block in range(start // _BLOCK, -(-stop // _BLOCK))
        for row in _block(block, dimension)[max(start - block * _BLOCK, 0) : stop - block * _BLOCK].tolist()
    ]


_BLOCK = 1000


def _block(number: int, dimension: int) -> NDArray[np.float32]:
    random = np.random.default_rng((_SEED, dimension, number))
    middles = _middles(dimension)[random.integers(_CLUSTERS, size=_BLOCK)]
    around = random.standard_normal((_BLOCK, dimension), dtype=np.float32) * (_SPREAD / dimension**0.5)
    return _normalised(middles + around)


@cache
def _middles(dimension: int) -> NDArray[np.float32]:
    random = np.random.default_rng((_SEED, dimension))
    return _normalised(random.standard_normal((_CLUSTERS, dimension), dtype=np.float32))


def _normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    normalised: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normalised


# Words


def _text(number: int) -> str:
    random = np.random.default_rng((_SEED, number))
    ranks = np.searchsorted(_cumulative(), random.random(_WORDS))
    if number % 2:
        return " ".join(english(int(rank)) for rank in ranks) + f". ({number})"
    return "".join(chinese(int(rank)) for rank in ranks) + f"。({number})"


@cache
def _cumulative() -> NDArray[np.float64]:
    shares = 1 / np.arange(1, _VOCABULARY + 1)
    cumulative: NDArray[np.float64] = np.cumsum(shares / shares.sum())
    cumulative[-1] = 1
    return cumulative


def english(rank: int) -> str:
    """The English word of a rank, made of syllables."""
    syllables = _syllables()
    # No two ranks have one word, and neighbours look nothing like each other: 7,919 is prime.
    code = rank * 7_919 % len(syllables) ** 3
    first, rest = divmod(code, len(syllables) ** 2)
    second, third = divmod(rest, len(syllables))
    return syllables[first] + syllables[second] + syllables[third]


@cache
def _syllables() -> list[str]:
    return [consonant + vowel for consonant, vowel in itertools.product(_CONSONANTS, _VOWELS)]


def chinese(rank: int) -> str:
    """The Chinese word of a rank: a real one where queries ask for it, otherwise two characters."""
    if rank < len(_FREQUENT):
        return _FREQUENT[rank]
    if rank in _MIDDLE:
        return _MIDDLING[rank - _MIDDLE.start]
    first, second = divmod(rank * 7_919 % len(_CHARACTERS) ** 2, len(_CHARACTERS))
    return _CHARACTERS[first] + _CHARACTERS[second]


# Queries


@dataclass(frozen=True, slots=True)
class Queries:
    """What is asked, as many of each.

    Attributes:
        vectors: Near documents.
        rare: One word that is in about ten of 100,000 documents.
        middling: Two words, each in about 500 of them; Chinese and English in turn.
        common: Two words that are in most documents of their language; in turn.
        mixed: One of each kind, as in a question: what hybrid searches ask.
    """

    vectors: Sequence[list[float]]
    rare: Sequence[str]
    middling: Sequence[str]
    common: Sequence[str]
    mixed: Sequence[str]


def queries(count: int, dimension: int) -> Queries:
    """Queries, the same in every process."""
    random = np.random.default_rng((_SEED, count, dimension, 1))

    def draw(ranks: range) -> int:
        return int(random.integers(ranks.start, ranks.stop))

    def words(*bands: range) -> list[str]:
        # Rare Chinese words are two characters, each of which is in many others.
        languages = [english, chinese] if _RARE not in bands else [english]
        return [" ".join(languages[number % len(languages)](draw(band)) for band in bands) for number in range(count)]

    block = _block(10**6, dimension)[:count]
    return Queries(
        block.tolist(), words(_RARE), words(_MIDDLE, _MIDDLE), words(_COMMON, _COMMON), words(_COMMON, _MIDDLE, _RARE)
    )


class Given(Embeddings):
    """An embedding model that looks up vectors that were made beforehand: what is measured is not the model."""

    def __init__(self) -> None:
        self._vectors: dict[str, list[float]] = {}

    def give(self, texts: Sequence[str], vectors: Sequence[list[float]]) -> None:
        """What to return for some texts; for others nothing is known any more."""
        self._vectors = dict(zip(texts, vectors, strict=True))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of texts."""
        return [self._vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a text."""
        return self._vectors[text]
