"""Requests made and answers checked by the SDK itself, the arbiter of what a signature is."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from tablestore import OTSClientError
from tablestore.auth import RequestContext, SignV2, SignV4
from tablestore.credentials import Credentials
from tablestore.protocol import OTSProtocol

from langchain_tablestore_memory.local import Tablestore, ots_client
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.signing import Authenticator, content_md5

SIGNERS = {
    "v2": lambda: SignV2("utf8"),
    "v4": lambda: SignV4("utf8", region="cn-hangzhou"),
    "v4 of a fixed day": lambda: SignV4("utf8", region="eu-central-1", sign_date="20240229"),
}


class Caller:
    """Signs requests as the SDK does."""

    def __init__(self, signer, *, access_key_id="id", secret="secret", extra_headers=None):
        self.signer = signer
        self.context = RequestContext(Credentials(access_key_id, secret))
        self.protocol = OTSProtocol("instance", "utf8", logger=None, extra_headers=extra_headers)

    def request(self, body=b"body", query="/GetRow", **changed):
        """Headers of a request; `changed` ones, with - for _, are set before it is signed."""
        headers = {
            "x-ots-date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000Z",
            "x-ots-apiversion": "2015-12-31",
            "x-ots-accesskeyid": self.context.get_credentials().get_access_key_id(),
            "x-ots-instancename": "instance",
            "x-ots-contentmd5": base64.b64encode(hashlib.md5(body).digest()).decode(),
            **self.protocol.extra_headers,
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        self.signer.make_request_signature_and_add_headers(query, headers, self.context)
        return headers

    def check_answer(self, headers):
        self.protocol._check_authorization("/GetRow", headers, 200, self.signer, self.context)


@pytest.fixture(params=list(SIGNERS))
def signer(request):
    return SIGNERS[request.param]()


@pytest.fixture
def authenticator():
    return Authenticator("id", "secret")


def refusal(authenticator, headers, body=b"body", query=""):
    with pytest.raises(RequestError) as caught:
        authenticator.authenticate("/GetRow", query, headers, body)
    return caught.value.status, caught.value.code, caught.value.message


def test_a_signed_request_passes_and_its_answer_is_signed_for_it(authenticator, signer):
    caller = Caller(signer)
    key = authenticator.authenticate("/GetRow", "", caller.request(), b"body")
    answer = {"x-ots-requestid": "1", "x-ots-contentmd5": "2", "x-ots-date": "3", "content-length": "4"}
    answer["authorization"] = authenticator.authorization(key, "/GetRow", answer)
    caller.check_answer(answer)
    answer["x-ots-requestid"] = "another"
    with pytest.raises(OTSClientError, match="Invalid signature in response"):
        caller.check_answer(answer)


def test_the_protocols_own_request_passes(authenticator, signer):
    caller = Caller(signer)
    headers = caller.protocol._make_request_headers(b"body", "/GetRow", signer, caller.context)
    authenticator.authenticate("/GetRow", "", {name.lower(): value for name, value in headers.items()}, b"body")


def test_query_parameters_are_signed_in_sorted_order(authenticator, signer):
    headers = Caller(signer).request(query="/GetRow?b=2&a=1&a=0")
    authenticator.authenticate("/GetRow", "b=2&a=1&a=0", headers, b"body")
    assert refusal(authenticator, headers, query="b=2&a=1")[2] == "Signature mismatch."


def test_extra_headers_of_the_service_are_signed_and_others_are_not(authenticator, signer):
    headers = Caller(signer, extra_headers={"x-ots-trace": " 7 ", "trace": "8"}).request()
    authenticator.authenticate("/GetRow", "", headers | {"trace": "changed"}, b"body")
    assert refusal(authenticator, headers | {"x-ots-trace": "changed"})[2] == "Signature mismatch."


@pytest.mark.parametrize(
    "changed",
    [
        {"x-ots-instancename": "another"},
        {"x-ots-apiversion": "2014-08-08"},
        {"x-ots-ststoken": "added"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_changed_header_is_refused(authenticator, signer, changed):
    answer = refusal(authenticator, Caller(signer).request() | changed)
    assert answer == (403, "OTSAuthFailed", "Signature mismatch.")


def test_another_call_with_the_same_signature_is_refused(authenticator, signer):
    with pytest.raises(RequestError, match="Signature mismatch"):
        authenticator.authenticate("/DeleteRow", "", Caller(signer).request(), b"body")


@pytest.mark.parametrize("secret", ["wrong", "secre", "secret2", "密钥"])
def test_a_wrong_secret_is_refused(authenticator, signer, secret):
    answer = refusal(authenticator, Caller(signer, secret=secret).request())
    assert answer == (403, "OTSAuthFailed", "Signature mismatch.")


@pytest.mark.parametrize("signature", ["", "é", "\udcff", "AAAA"])
def test_a_signature_that_is_none_is_refused(authenticator, signature):
    headers = Caller(SignV2("utf8")).request() | {"x-ots-signature": signature}
    assert refusal(authenticator, headers)[2] == "Signature mismatch."


def test_a_v4_signature_is_not_taken_for_a_v2_one(authenticator):
    headers = Caller(SIGNERS["v4"]()).request()
    headers["x-ots-signature"] = headers.pop("x-ots-signaturev4")
    assert refusal(authenticator, headers)[2] == "Signature mismatch."


def test_secrets_beyond_ascii_work(signer):
    authenticator = Authenticator("id", "密钥")
    authenticator.authenticate("/GetRow", "", Caller(signer, secret="密钥").request(), b"body")


def test_an_unknown_access_key_is_refused(authenticator, signer):
    answer = refusal(authenticator, Caller(signer, access_key_id="other").request())
    assert answer == (403, "OTSAuthFailed", "The AccessKeyID does not exist.")


@pytest.mark.parametrize(
    "name", ["x-ots-date", "x-ots-apiversion", "x-ots-accesskeyid", "x-ots-instancename", "x-ots-contentmd5"]
)
def test_a_missing_header_is_named(authenticator, signer, name):
    headers = Caller(signer).request()
    del headers[name]
    assert refusal(authenticator, headers) == (400, "OTSParameterInvalid", f"Missing header: {name}.")


@pytest.mark.parametrize("name", ["x-ots-signdate", "x-ots-signregion"])
def test_a_missing_header_of_v4_is_named(authenticator, name):
    headers = Caller(SIGNERS["v4"]()).request()
    del headers[name]
    assert refusal(authenticator, headers) == (400, "OTSParameterInvalid", f"Missing header: {name}.")


def test_an_unsigned_request_is_told_which_header_it_lacks(authenticator):
    headers = Caller(SignV2("utf8")).request()
    del headers["x-ots-signature"]
    assert refusal(authenticator, headers)[2] == "Missing header: x-ots-signature."


@pytest.mark.parametrize("date", ["", "yesterday", "2026-13-01T00:00:00.000Z", "2026-01-01T00:00:00Z"])
def test_a_date_in_another_format_is_refused(authenticator, signer, date):
    answer = refusal(authenticator, Caller(signer).request(x_ots_date=date))
    assert answer == (400, "OTSParameterInvalid", f"Invalid date format: {date}.")


@pytest.mark.parametrize("date", ["2026011", "202601010", "2026-1-1", "２０２６０１０１"])
def test_a_sign_date_in_another_format_is_refused(authenticator, date):
    headers = Caller(SignV4("utf8", region="cn-hangzhou", sign_date=date)).request()
    assert refusal(authenticator, headers) == (400, "OTSParameterInvalid", f"Invalid date format: {date}.")


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24 * 365])
def test_a_clock_that_is_off_is_refused(authenticator, signer, minutes):
    date = f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S}.000Z"
    answer = refusal(authenticator, Caller(signer).request(x_ots_date=date))
    assert answer == (403, "OTSAuthFailed", f"Mismatch between system time and x-ots-date: {date}.")


@pytest.mark.parametrize("minutes", [-14, 14])
def test_a_clock_that_is_a_little_off_passes(authenticator, signer, minutes):
    date = f"{datetime.now(UTC) + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%S.%f}Z"
    authenticator.authenticate("/GetRow", "", Caller(signer).request(x_ots_date=date), b"body")


def test_a_changed_body_is_refused(authenticator, signer):
    answer = refusal(authenticator, Caller(signer).request(), body=b"another body")
    assert answer == (
        403,
        "OTSAuthFailed",
        "Mismatch between MD5 value of request body and x-ots-contentmd5 in header.",
    )


def test_what_is_checked_first_is_told_first(authenticator):
    """Header, date, clock, body, access key, signature: the order of the service's table of errors."""
    caller = Caller(SignV2("utf8"), access_key_id="other", secret="wrong")
    headers = caller.request()
    assert refusal(authenticator, headers, body=b"another body")[2].startswith("Mismatch between MD5")
    assert refusal(authenticator, headers)[2] == "The AccessKeyID does not exist."
    assert refusal(authenticator, headers | {"x-ots-date": "never"}, body=b"x")[2].startswith("Invalid date")
    del headers["x-ots-instancename"]
    assert refusal(authenticator, headers | {"x-ots-date": "never"})[2] == "Missing header: x-ots-instancename."


@pytest.mark.parametrize(
    ("access_key_id", "secret"),
    [("", "s"), ("id", ""), ("a:b", "s"), ("a b", "s"), ("a\n", "s"), ("ключ", "s")],
)
def test_an_access_key_that_no_header_can_carry_is_refused(access_key_id, secret):
    with pytest.raises(ValueError, match="access_key_id"):
        Authenticator(access_key_id, secret)


def test_the_md5_of_a_body_is_what_the_sdk_expects():
    assert content_md5(b"") == "1B2M2Y8AsgTpgAmY7PhCfg=="


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"access_key_id": "other", "access_key_secret": "密钥"},
        {"sts_token": "token"},
        {"extra_headers": {"x-ots-trace": "7"}},
        {"region": "cn-hangzhou"},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
def test_clients_in_the_same_process_send_the_headers_of_the_sdk(options):
    client = ots_client(Tablestore(None), **options)

    def headers(protocol):
        context = RequestContext(client.credentials_provider.get_credentials())
        return protocol._make_request_headers(client.protocol, b"body", "/GetRow", client._signer, context)

    before, theirs, after = headers(type(client.protocol)), headers(OTSProtocol), headers(type(client.protocol))
    # A second may end between two of them.
    assert theirs in (before, after)
