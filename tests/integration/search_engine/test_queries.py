"""Queries, scores, order and pages, against a plain Python reading of the same rows."""

from __future__ import annotations

import fnmatch
import math
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tablestore import (
    BoolQuery,
    ColumnReturnType,
    ColumnsToGet,
    ExistsQuery,
    FieldSchema,
    FieldSort,
    FieldType,
    KnnVectorQuery,
    MatchAllQuery,
    MatchPhraseQuery,
    MatchQuery,
    PrefixQuery,
    PrimaryKeySort,
    QueryOperator,
    RangeQuery,
    Row,
    ScoreSort,
    Sort,
    SortMode,
    SortOrder,
    TermQuery,
    TermsQuery,
    VectorDataType,
    VectorMetricType,
    VectorOptions,
    WildcardQuery,
)

from langchain_tablestore_memory.local import Tablestore, ots_client
from langchain_tablestore_memory.local.search import postings, scores

from .support import BY_SCORE, EVERYTHING, NOTHING, Table, refused

WORDS = ["tea", "green", "black", "cup", "of", "花", "water"]
SIZE = 120


def _random_rows(seed):
    random_ = random.Random(seed)
    rows = {}
    for number in range(SIZE):
        row = {
            "word": random_.choice(["a", "ab", "abc", "b*", "B", "花茶", ""]),
            "number": random_.randint(-5, 5),
            "real": random_.choice([-1.5, 0.0, 2.25]),
            "flag": random_.random() < 0.5,
            "text": " ".join(random_.choices(WORDS, [30, 10, 5, 3, 20, 2, 1], k=random_.randint(1, 12))),
            "tags": random_.choices(["x", "y", "z"], k=random_.randint(0, 3)),
            "numbers": random_.choices(range(5), k=random_.randint(0, 4)),
            "vector": [random_.randint(-3, 3), random_.choice([1, 2, 3])],
        }
        rows[number] = {name: value for name, value in row.items() if random_.random() < 0.85}
    return rows


ROWS = _random_rows(5)


@pytest.fixture(scope="module")
def full():
    """A table of random rows; nothing changes it."""
    with Tablestore(None) as service:
        yield Table(ots_client(service), before=ROWS)


def _values(row, field):
    value = row.get(field)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _tokens(row):
    return row.get("text", "").split()


_leaves = st.one_of(
    st.just((MatchAllQuery(), lambda row: True)),
    st.sampled_from(["word", "tags", "numbers", "number", "real", "flag", "vector", "text"]).map(
        lambda f: (ExistsQuery(f), lambda row: bool(_values(row, f)))
    ),
    st.sampled_from(
        [
            ("word", "a"),
            ("word", "花茶"),
            ("word", ""),
            ("tags", "x"),
            ("number", 3),
            ("numbers", 2),
            ("flag", True),
            ("real", 2.25),
        ]
    ).map(lambda p: (TermQuery(*p), lambda row: p[1] in _values(row, p[0]))),
    st.tuples(st.sampled_from(["number", "numbers"]), st.lists(st.integers(-5, 5), min_size=1, max_size=4)).map(
        lambda p: (TermsQuery(*p), lambda row: any(v in p[1] for v in _values(row, p[0])))
    ),
    st.tuples(
        st.sampled_from(["number", "numbers", "real"]),
        st.integers(-5, 5),
        st.integers(0, 4),
        st.booleans(),
        st.booleans(),
    ).map(
        lambda p: (
            RangeQuery(p[0], p[1], p[1] + p[2], p[3], p[4]),
            lambda row: any(
                (v >= p[1] if p[3] else v > p[1]) and (v <= p[1] + p[2] if p[4] else v < p[1] + p[2])
                for v in _values(row, p[0])
            ),
        )
    ),
    st.sampled_from(["", "a", "ab", "花", "b*", "z"]).map(
        lambda t: (PrefixQuery("word", t), lambda row: "word" in row and row["word"].startswith(t))
    ),
    st.sampled_from(["*", "a*", "?b*", "*c", "b?", "[ab]", "花?"]).map(
        lambda t: (
            WildcardQuery("word", t),
            lambda row: (
                "word" in row and re.fullmatch(fnmatch.translate(t.replace("[", "[[]")), row["word"]) is not None
            ),
        )
    ),
    st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True), st.integers(1, 3)).map(
        lambda p: (
            MatchQuery("text", " ".join(p[0]), operator=QueryOperator.OR, minimum_should_match=p[1]),
            lambda row: sum(word in _tokens(row) for word in p[0]) >= p[1],
        )
    ),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(
        lambda ws: (
            MatchPhraseQuery("text", " ".join(ws)),
            lambda row: f" {' '.join(ws)} " in f" {' '.join(_tokens(row))} ",
        )
    ),
    st.sampled_from(WORDS).map(lambda w: (TermQuery("text", w), lambda row: w in _tokens(row))),
    st.sampled_from(["t", "gre", "花", "x"]).map(
        lambda p: (PrefixQuery("text", p), lambda row: any(token.startswith(p) for token in _tokens(row)))
    ),
)


def _bool(parts):
    must, filters, must_not, should, minimum = parts
    needed = minimum if minimum is not None else (1 if should and not must and not filters else 0)
    query = BoolQuery(
        must_queries=[q for q, _ in must],
        filter_queries=[q for q, _ in filters],
        must_not_queries=[q for q, _ in must_not],
        should_queries=[q for q, _ in should],
        minimum_should_match=minimum,
    )
    return (
        query,
        lambda row: (
            all(test(row) for _, test in (*must, *filters))
            and not any(test(row) for _, test in must_not)
            and sum(test(row) for _, test in should) >= needed
        ),
    )


_queries = st.recursive(
    _leaves,
    lambda inner: st.tuples(
        st.lists(inner, max_size=2),
        st.lists(inner, max_size=2),
        st.lists(inner, max_size=2),
        st.lists(inner, max_size=3),
        st.none() | st.integers(0, 3),
    ).map(_bool),
    max_leaves=8,
)


class TestAgainstPlainPython:
    @settings(
        max_examples=3 * settings.default.max_examples // 2, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(_queries)
    def test_same_rows(self, full, pair):
        query, test = pair
        expected = [number for number, row in ROWS.items() if test(row)]
        found = full.search(query, limit=1000, get_total_count=True)
        assert [row[0][0][1] for row in found.rows] == expected
        assert found.total_count == len(expected)
        assert sorted(full.scores(query, limit=1000)) == expected

    @pytest.mark.parametrize("text", ["tea", "black cup", "tea tea water", "花 of"])
    @pytest.mark.parametrize("operator", [QueryOperator.OR, QueryOperator.AND])
    @pytest.mark.parametrize("common", [1, 10_000])
    def test_bm25(self, full, monkeypatch, text, operator, common):
        monkeypatch.setattr(postings, "COMMON", common)
        wanted = text.split()
        combine = any if operator == QueryOperator.OR else all
        expected = {
            number: sum(_bm25([word], row) for word in wanted)
            for number, row in ROWS.items()
            if combine(word in _tokens(row) for word in wanted)
        }
        assert full.scores(MatchQuery("text", text, operator=operator), limit=1000) == pytest.approx(expected, rel=1e-9)

    def test_bm25_of_common_words_while_rows_change(self, client, monkeypatch):
        monkeypatch.setattr(scores, "_MANY", 5)
        monkeypatch.setattr(postings, "COMMON", 1)
        rows = {number: row for number, row in ROWS.items() if number % 2}
        table = Table(client, before=rows)
        random_ = random.Random(2)
        for _ in range(30):
            number = random_.randrange(SIZE + 20)
            if random_.random() < 0.3:
                client.delete_row("t", Row([("id", number)]), None)
                rows.pop(number, None)
            else:
                rows[number] = {"text": " ".join(random_.choices(WORDS, k=random_.randint(0, 5)))}
                table.put(number, **rows[number])
            expected = {
                n: sum(_bm25([word], row, rows) for word in ("tea", "of", "cup"))
                for n, row in rows.items()
                if {"tea", "of", "cup"} & set(_tokens(row))
            }
            assert table.scores(MatchQuery("text", "tea of cup")) == pytest.approx(expected, rel=1e-9)

    def test_bm25_of_a_phrase(self, full):
        wanted = ["tea", "of"]
        expected = {n: _bm25(wanted, row) for n, row in ROWS.items() if _count(wanted, _tokens(row))}
        assert expected
        assert full.scores(MatchPhraseQuery("text", "tea of"), limit=1000) == pytest.approx(expected, rel=1e-9)

    def test_bool_adds_and_weighs(self, full):
        query = BoolQuery(
            must_queries=[MatchQuery("text", "tea", weight=2.0), TermQuery("flag", True)],
            filter_queries=[RangeQuery("number", 0)],
            should_queries=[MatchQuery("text", "cup"), TermQuery("word", "a", weight=0.5)],
        )
        expected = {
            n: 2 * _bm25(["tea"], row) + 1 + _bm25(["cup"], row) + 0.5 * (row.get("word") == "a")
            for n, row in ROWS.items()
            if "tea" in _tokens(row) and row.get("flag") and row.get("number", -1) >= 0
        }
        assert expected
        assert full.scores(query, limit=1000) == pytest.approx(expected, rel=1e-9)


def _count(tokens, among):
    return sum(among[i : i + len(tokens)] == tokens for i in range(len(among)))


def _bm25(tokens, row, rows=ROWS):
    texts = [_tokens(other) for other in rows.values() if _tokens(other)]
    average = sum(map(len, texts)) / len(texts)
    idf = 0.0
    for token in tokens:
        having = sum(token in text for text in texts)
        idf += math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
    frequency, length = _count(tokens, _tokens(row)), len(_tokens(row))
    return idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / average))


def _vectors(client, metric, vectors):
    options = VectorOptions(data_type=VectorDataType.VD_FLOAT_32, dimension=len(vectors[0]), metric_type=metric)
    fields = [
        FieldSchema("v", FieldType.VECTOR, vector_options=options),
        FieldSchema("even", FieldType.BOOLEAN),
        FieldSchema("text", FieldType.TEXT),
    ]
    rows = {n: {"v": v, "even": n % 2 == 0, "text": f"t{n}"} for n, v in enumerate(vectors)}
    return Table(client, fields, before=rows)


_SCORES = {
    VectorMetricType.VM_COSINE: lambda a, b: (1 + _dot(a, b) / math.sqrt(_dot(a, a) * _dot(b, b))) / 2,
    VectorMetricType.VM_EUCLIDEAN: lambda a, b: 1 / (1 + sum((x - y) ** 2 for x, y in zip(a, b, strict=True))),
    VectorMetricType.VM_DOT_PRODUCT: lambda a, b: max(0.0, (1 + _dot(a, b)) / 2),
}


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


class TestVectors:
    @pytest.mark.parametrize("metric", list(_SCORES))
    @pytest.mark.parametrize("filtered", [False, True])
    def test_scores(self, client, metric, filtered):
        random_ = random.Random(3)
        vectors = [[float(random_.randint(-64, 64)) / 32 for _ in range(9)] for _ in range(200)]
        vectors += vectors[:20]
        table = _vectors(client, metric, vectors)
        query = [0.5, -1.0, 0.25, 1.0, 0.0, 0.125, -0.5, 1.5, 0.75]
        expected = {n: _SCORES[metric](query, v) for n, v in enumerate(vectors) if not filtered or n % 2 == 0}
        best = dict(sorted(expected.items(), key=lambda item: (-item[1], item[0]))[:15])
        filter_ = TermQuery("even", True) if filtered else None
        found = table.scores(KnnVectorQuery("v", 15, query, filter_), limit=15)
        assert list(found) == list(best)
        assert found == pytest.approx(best, rel=1e-9)

    def test_min_score_and_weight(self, client):
        table = _vectors(client, VectorMetricType.VM_COSINE, [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        query = KnnVectorQuery("v", 3, [1.0, 0.0], min_score=0.5, weight=2.0)
        assert table.scores(query) == {0: 2.0, 1: 1.0}
        assert table.search(query, get_total_count=True).total_count == -1

    def test_in_bool(self, client):
        table = _vectors(client, VectorMetricType.VM_COSINE, [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        text = table.scores(MatchQuery("text", "t2"))[2]
        found = table.scores(
            BoolQuery(should_queries=[KnnVectorQuery("v", 1, [1.0, 0.0]), MatchQuery("text", "t2")]), limit=1
        )
        assert found == ({0: 1.0} if text < 1 else {2: text})
        excluded = BoolQuery(must_not_queries=[KnnVectorQuery("v", 1, [1.0, 0.0])])
        assert table.ids(excluded, limit=1) == [1]

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            (KnnVectorQuery("vector", 5, [1.0]), "dimension of the query vector is 1"),
            (KnnVectorQuery("vector", 0, [1.0, 0.0]), "top_k"),
            (KnnVectorQuery("vector", 10_000, [1.0, 0.0]), "top_k"),
            (KnnVectorQuery("vector", 5, [math.nan, 0.0]), "NaN or infinite"),
            (KnnVectorQuery("word", 5, [1.0, 0.0]), "not a vector"),
            (KnnVectorQuery("vector", 5, [1.0, 0.0], KnnVectorQuery("vector", 5, [1.0, 0.0])), "filter"),
        ],
    )
    def test_refused(self, full, query, message):
        with refused(containing=message):
            full.search(query)

    def test_are_never_counted(self, full):
        knn = KnnVectorQuery("vector", 5, [1.0, 0.0])
        for query in (knn, BoolQuery(should_queries=[knn, MatchAllQuery()])):
            assert full.search(query, get_total_count=True).total_count == -1
        filtered = KnnVectorQuery("vector", 5, [1.0, 0.0], MatchAllQuery())
        assert full.search(BoolQuery(must_queries=[filtered]), get_total_count=True).total_count == -1

    def test_many_that_meet_the_filter(self, client, monkeypatch):
        from langchain_tablestore_memory.local.search import vectors as module

        monkeypatch.setattr(module, "_MAX_LISTED", 10)
        monkeypatch.setattr(module, "_SPARE", 1)
        monkeypatch.setattr(module, "_NEAREST_SHARE", 2)
        random_ = random.Random(1)
        vectors = [[random_.gauss(0, 1), random_.gauss(0, 1)] for _ in range(300)]
        table = _vectors(client, VectorMetricType.VM_EUCLIDEAN, vectors)
        for query in vectors[:20]:
            expected = sorted((n for n in range(300) if n % 2 == 0), key=lambda n: math.dist(query, vectors[n]))[:7]
            assert list(table.scores(KnnVectorQuery("v", 7, query, TermQuery("even", True)), limit=7)) == expected


class TestOrder:
    def test_missing_values_last(self, full):
        for order, sign in ((SortOrder.ASC, 1), (SortOrder.DESC, -1)):
            found = full.ids(MatchAllQuery(), sort=Sort([FieldSort("number", order)]), limit=1000)
            expected = sorted(ROWS, key=lambda n: ("number" not in ROWS[n], sign * ROWS[n].get("number", 0), n))
            assert found == expected

    @pytest.mark.parametrize(
        ("mode", "reduce"),
        [(SortMode.MIN, min), (SortMode.MAX, max), (SortMode.AVG, lambda values: sum(values) / len(values))],
    )
    def test_arrays(self, full, mode, reduce):
        sort = Sort([FieldSort("numbers", SortOrder.ASC, mode), PrimaryKeySort(SortOrder.DESC)])
        having = [n for n in ROWS if ROWS[n].get("numbers")]
        expected = sorted(having, key=lambda n: (reduce(ROWS[n]["numbers"]), -n))
        assert full.ids(ExistsQuery("numbers"), sort=sort, limit=1000) == expected

    def test_of_the_index(self, client):
        table = Table(client, before=ROWS, index_sort=Sort([FieldSort("number", SortOrder.DESC)]))
        expected = sorted(ROWS, key=lambda n: ("number" not in ROWS[n], -ROWS[n].get("number", 0), n))
        assert table.ids(MatchAllQuery(), limit=1000) == expected

    @pytest.mark.parametrize(
        "sort",
        [
            None,
            Sort([PrimaryKeySort(SortOrder.DESC)]),
            Sort([FieldSort("number", SortOrder.DESC)]),
            Sort([FieldSort("word"), FieldSort("numbers", SortOrder.DESC)]),
            BY_SCORE,
            Sort([ScoreSort(SortOrder.ASC), FieldSort("number")]),
            Sort([FieldSort("flag"), ScoreSort()]),
        ],
    )
    @pytest.mark.parametrize("repeat_sort", [False, True])
    def test_pages_are_the_whole(self, full, sort, repeat_sort):
        query = BoolQuery(should_queries=[MatchQuery("text", "tea of"), TermQuery("flag", True)])
        whole = full.search(query, sort=sort, limit=1000)
        pages, token = [], None
        while token != b"":
            page = full.search(query, sort=sort if token is None or repeat_sort else None, limit=7, next_token=token)
            pages += page.search_hits
            token = page.next_token
        key = [(hit.row[0], hit.score) for hit in whole.search_hits]
        assert repr([(hit.row[0], hit.score) for hit in pages]) == repr(key)
        by_offset = full.search(query, sort=sort, limit=7, offset=14).rows
        assert by_offset == whole.rows[14:21]

    def test_a_full_last_page_has_a_token(self, full):
        page = full.search(MatchAllQuery(), limit=SIZE)
        assert page.next_token
        after = full.search(MatchAllQuery(), limit=SIZE, next_token=page.next_token)
        assert (after.rows, after.next_token) == ([], b"")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"limit": 1001}, "limit"),
            ({"limit": -1}, "less than 0"),
            ({"limit": 10, "offset": 100_000}, "100000"),
            ({"next_token": b"nonsense"}, "next_token"),
            ({"sort": Sort([FieldSort("text")])}, "cannot be sorted by"),
            ({"sort": Sort([FieldSort("nothing")])}, "field: nothing does not exist"),
        ],
    )
    def test_refused(self, full, options, message):
        with refused(containing=message):
            full.search(MatchAllQuery(), **options)

    def test_token_and_offset(self, full):
        token = full.search(MatchAllQuery(), limit=5).next_token
        with refused(containing="offset"):
            full.search(MatchAllQuery(), next_token=token, offset=5)

    def test_limit_0_counts(self, full):
        found = full.search(MatchAllQuery(), limit=0, get_total_count=True, sort=BY_SCORE)
        assert (found.rows, found.total_count, found.next_token) == ([], SIZE, b"")


class TestColumns:
    def test_selections(self, client, table):
        table.put(1, word="a", number=1, other="x")

        def columns(kind, *names):
            found = table.search(MatchAllQuery(), ColumnsToGet(list(names), kind))
            return [(name, value) for name, value, _ in found.rows[0][1]]

        assert columns(ColumnReturnType.NONE) == []
        assert columns(ColumnReturnType.ALL) == [("number", 1), ("other", "x"), ("word", "a")]
        assert columns(ColumnReturnType.ALL_FROM_INDEX) == [("number", 1), ("word", "a")]
        assert columns(ColumnReturnType.SPECIFIED, "word", "other", "id") == [("other", "x"), ("word", "a")]

    def test_limit_where_the_table_is_read(self, full):
        with refused(containing="100"):
            full.search(MatchAllQuery(), EVERYTHING, limit=101)
        with refused(containing="100"):
            full.search(MatchAllQuery(), ColumnsToGet(["word", "other"], ColumnReturnType.SPECIFIED), limit=101)
        named = ColumnsToGet(["word", "id"], ColumnReturnType.SPECIFIED)
        for columns in (named, NOTHING, ColumnsToGet([], ColumnReturnType.ALL_FROM_INDEX), None):
            assert len(full.search(MatchAllQuery(), columns, limit=101).rows) == 101
            assert len(full.search(MatchAllQuery(), columns, limit=1000).rows) == SIZE
            with refused(containing="1000"):
                full.search(MatchAllQuery(), columns, limit=1001)


class TestValues:
    def test_numbers_as_text(self, full):
        assert full.ids(TermQuery("number", "3")) == full.ids(TermQuery("number", 3)) != []
        assert full.ids(MatchQuery("number", "3")) == full.ids(TermQuery("number", 3))

    @pytest.mark.parametrize(
        "query",
        [
            TermQuery("word", 1),
            TermQuery("number", "x"),
            TermQuery("flag", 1),
            RangeQuery("number", True),
            PrefixQuery("number", "1"),
        ],
    )
    def test_of_another_type(self, full, query):
        with refused():
            full.search(query)

    def test_unknown_field(self, full):
        with refused(containing="field: nothing does not exist"):
            full.search(TermQuery("nothing", 1))

    def test_dates(self, client):
        fields = [
            FieldSchema("day", FieldType.DATE, date_formats=["yyyy-MM-dd", "yyyy-MM-dd'T'HH:mm:ss.SSSX"]),
            FieldSchema("second", FieldType.DATE, date_formats=["epoch_second"]),
        ]
        table = Table(client, fields)
        table.put(1, day="2022-05-06", second=1_218_197_720)
        table.put(2, day="2022-05-05T20:00:00.500Z", second=-1)
        assert table.ids(RangeQuery("day", "2022-05-06", "2022-05-07", True, False)) == [1, 2]
        assert table.ids(TermQuery("day", "2022-05-06T04:00:00.500+08")) == [2]
        assert table.ids(ExistsQuery("second")) == [1]
        assert table.ids(TermQuery("second", "1218197720")) == [1]

    def test_several_analyzers(self, client):
        fields = [FieldSchema(name, FieldType.TEXT, analyzer=name) for name in ("max_word", "fuzzy", "split")]
        table = Table(client, fields)
        table.put(1, max_word="a b c ab ac", fuzzy="a b c abac", split="A-b c")
        for field, text, found in [
            ("max_word", "a b c", 1),
            ("max_word", "abc", 0),
            ("max_word", "abac", 0),
            ("fuzzy", "ab", 1),
            ("fuzzy", "ac", 1),
            ("fuzzy", "abc", 0),
            ("split", "a-b", 1),
            ("split", "b", 0),
        ]:
            assert len(table.ids(MatchQuery(field, text))) == found, (field, text)

    def test_chinese_examples(self, client):
        pytest.importorskip("rjieba", reason="the dictionary is an extra")
        titles = [
            "求推荐几款菊花茶店铺",
            "秋天最适合饮用的几种花茶",
            "苕溪边上有一大片野生菊花",
            "菊花茶是一款大部分人都适合的经典花茶",
        ]
        table = Table(client, [FieldSchema("t", FieldType.TEXT, analyzer="max_word")])
        for number, title in enumerate(titles):
            table.put(number, t=title)
        for text, count in {"菊花茶": 4, "梨花茶": 3, "花茶": 3, "菊花": 3}.items():
            assert len(table.ids(MatchQuery("t", text))) == count, text
        assert len(table.ids(MatchQuery("t", "饮用花茶", operator=QueryOperator.AND))) == 1
        assert len(table.ids(MatchQuery("t", "饮用花茶", operator=QueryOperator.OR))) == 3
        assert len(table.ids(MatchQuery("t", "饮用花茶", minimum_should_match=2))) == 1
        assert len(table.ids(MatchPhraseQuery("t", "野生菊花"))) == 1
        assert len(table.ids(MatchPhraseQuery("t", "秋天菊花"))) == 0
