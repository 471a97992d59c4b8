"""The formats of DATE fields, with the examples of the service's documentation."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.search.dates import DateFormat

BEIJING = timezone(timedelta(hours=8))
SECOND = 1_218_197_720


def read(text, value):
    return DateFormat.parse(text, "day").read(value)


def nanoseconds(*parts, zone=BEIJING, fraction=0):
    return int(datetime(*parts, tzinfo=zone).timestamp()) * 10**9 + fraction


class TestUnits:
    @pytest.mark.parametrize(
        ("unit", "value", "expected"),
        [
            ("epoch_second", SECOND, SECOND * 10**9),
            ("epoch_millis", 1_218_197_720_123, SECOND * 10**9 + 123_000_000),
            ("epoch_micros", 1_218_197_720_123_456, SECOND * 10**9 + 123_456_000),
            ("epoch_nanos", 1_218_197_720_123_456_789, 1_218_197_720_123_456_789),
            ("epoch_second", str(SECOND), SECOND * 10**9),
        ],
    )
    def test_examples(self, unit, value, expected):
        assert read(unit, value) == expected

    @pytest.mark.parametrize("value", [-1, 1 << 63, "-1", "1.5", "x", ""])
    def test_outside(self, value):
        assert read("epoch_nanos", value) is None

    def test_ends(self):
        assert read("epoch_nanos", 0) == 0
        assert read("epoch_nanos", (1 << 63) - 1) == (1 << 63) - 1


class TestPatterns:
    @pytest.mark.parametrize(
        ("text", "value", "expected"),
        [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2008-08-08 20:15:20.123", nanoseconds(2008, 8, 8, 20, 15, 20) + 123_000_000),
            ("yyyyMMdd HHmmss", "20080808 201520", SECOND * 10**9),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSX", "2008-08-08T12:15:20.123Z", SECOND * 10**9 + 123_000_000),
            ("yyyy-MM-dd", "2022-05-06", nanoseconds(2022, 5, 6)),
            ("yy-M-d", "08-7-8", nanoseconds(2008, 7, 8)),
            ("d/M/yyyy", "18/12/2008", nanoseconds(2008, 12, 18)),
            ("yyyy-MM-dd a KK:mm", "2008-08-08 PM 08:15", nanoseconds(2008, 8, 8, 20, 15)),
            ("yyyy-MM-dd K a", "2008-08-08 0 AM", nanoseconds(2008, 8, 8)),
            ("yyyy-MM-dd H:m:s", "2008-08-08 0:1:2", nanoseconds(2008, 8, 8, 0, 1, 2)),
            ("yyyy-MM-dd'T'ss.S", "2008-08-08T20.3", nanoseconds(2008, 8, 8, 0, 0, 20, fraction=300_000_000)),
            ("yyyy-MM-dd ss.SSSSSSSSS", "2008-08-08 20.123456789", nanoseconds(2008, 8, 8, 0, 0, 20) + 123_456_789),
            ("yyyy 'o''clock' HH", "2008 o'clock 07", nanoseconds(2008, 1, 1, 7)),
            ("yyyy''MM", "2008'02", nanoseconds(2008, 2, 1)),
        ],
    )
    def test_read(self, text, value, expected):
        assert read(text, value) == expected

    @pytest.mark.parametrize(
        ("letters", "offset", "seconds"),
        [
            ("X", "Z", 0),
            ("X", "+01", 3600),
            ("XX", "+0130", 5400),
            ("XX", "Z", 0),
            ("XXX", "-01:30", -5400),
            ("XXXX", "+013015", 5415),
            ("XXXX", "+0130", 5400),
            ("XXXXX", "+01:30:15", 5415),
            ("x", "+00", 0),
            ("xx", "+0000", 0),
            ("xxx", "+01:30", 5400),
            ("xxxx", "+013015", 5415),
            ("xxxxx", "-01:30:15", -5415),
        ],
    )
    def test_offsets(self, letters, offset, seconds):
        zone = timezone(timedelta(seconds=seconds))
        assert read(f"yyyy-MM-dd{letters}", f"2008-08-08{offset}") == nanoseconds(2008, 8, 8, zone=zone)

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("yyyy-MM-dd", "2022-05-6"),
            ("yyyy-MM-dd", "2022-02-30"),
            ("yyyy-MM-dd", "2022-05-06 "),
            ("yyyy-MM-dd", 20220506),
            ("yyyy-MM-dd", "1969-12-31"),
            ("yyyy-MM-dd", "2262-04-13"),
            ("yyyy-MM-dd HH", "2022-05-06 24"),
            ("yyyy-MM-dd a KK", "2022-05-06 PM 12"),
            ("yyyy-MM-ddXXX", "2022-05-06+0130"),
            ("yyyy-MM-ddx", "2022-05-06Z"),
        ],
    )
    def test_does_not_fit(self, text, value):
        assert read(text, value) is None

    @pytest.mark.parametrize(
        "text", ["QQ", "yyyyy", "yyy", "MMM", "SSSSSSSSSS", "yyyy-yyyy", "'", "yyyy'T", "", "epoch"]
    )
    def test_refused(self, text):
        with pytest.raises(RequestError, match="of field"):
            DateFormat.parse(text, "day")
