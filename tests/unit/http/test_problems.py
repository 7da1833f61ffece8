"""Errors as problem documents: which status and code, and what stands in the headers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from clusterlite import errors
from clusterlite.core.outcome import NEVER, REJECTED, REJECTIONS, Outcome
from clusterlite.http.problems import (
    HttpError,
    did_you_mean,
    from_error,
    from_outcome,
    of_exception,
)

EVENT = "01a2079b-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.KeyReused("x"), 422, "key_reused"),
        (errors.RecordTooLarge("x"), 413, "record_too_large"),
        (errors.LogUnavailable("x"), 503, "log_unreachable"),
        (errors.OutcomeUnknown(EVENT), 504, "outcome_unknown"),
        (errors.Halt("log_gap", "the log was trimmed", "Restore it"), 503, "log_gap"),
        (errors.NotServing("x"), 503, "not_serving"),
        (errors.Overloaded("x"), 503, "overloaded"),
        (errors.Behind("x"), 503, "behind"),
        (errors.ConfigError("x"), 503, "config"),
        (errors.SchemaRefused("x"), 503, "schema_refused"),
        (errors.FolderInUse("x"), 503, "folder_in_use"),
        (errors.ForeignToken("x"), 409, "foreign_token"),
        (errors.ClusterLiteError("x"), 500, "error"),
        (errors.InputError([errors.Problem("/name", "type", "must be text")]), 422, "invalid"),
        (
            errors.InputError([errors.Problem("", "malformed", "no JSON")], malformed=True),
            400,
            "malformed",
        ),
    ],
)
def test_each_error_has_a_status_and_a_code(
    error: errors.ClusterLiteError, status: int, code: str
) -> None:
    problem = from_error(error)
    assert (problem.status, problem.code) == (status, code)
    assert ((b"retry-after", b"1") in problem.headers) == (status == 503)


def test_a_set_up_that_is_wrong_is_told_without_its_places() -> None:
    problem = from_error(errors.ConfigError("/data/log is no log of ClusterLite"), EVENT)
    assert problem.extra["event"] == EVENT
    assert problem.detail == (
        "the node cannot serve as it is set up: the write did not happen: /-/cluster says why"
    )


@pytest.mark.parametrize("error", [errors.OutcomeUnknown(EVENT), errors.LogUnavailable("x")])
def test_an_unknown_outcome_leads_to_its_status_and_a_definite_failure_does_not(
    error: errors.ClusterLiteError,
) -> None:
    problem = from_error(error, EVENT)
    headers = dict(problem.headers)
    assert headers[b"clusterlite-event"] == EVENT.encode()
    assert problem.extra["event"] == EVENT
    expected = f"/-/events/{EVENT}".encode() if problem.status == 504 else None
    assert headers.get(b"location") == expected


STATUS_OF_REJECTION = {
    **dict.fromkeys(("exists", "unique", "foreign_key", "expired", "foreign", "skipped"), 409),
    **dict.fromkeys(("not_found", "unknown_table"), 404),
    "precondition_failed": 412,
    **dict.fromkeys(("unreadable", "invalid", "datatype", "not_null", "check"), 422),
    **dict.fromkeys(("incompatible", "not_adoptable"), 422),
}


def test_the_table_of_rejections_is_whole() -> None:
    assert STATUS_OF_REJECTION.keys() == REJECTIONS.keys()


@pytest.mark.parametrize(("code", "status"), STATUS_OF_REJECTION.items())
def test_each_rejection_has_a_status_and_words(code: str, status: int) -> None:
    problem = from_outcome(Outcome(7, EVENT, REJECTED, code))
    assert (problem.status, problem.code, problem.detail) == (status, code, REJECTIONS[code])
    assert problem.extra == {"event": EVENT, "position": 7}
    assert problem.headers == ()


def test_an_event_that_was_closed_never_happens() -> None:
    problem = from_outcome(Outcome(7, EVENT, NEVER))
    assert (problem.status, problem.code) == (409, "never")


def test_a_rejection_names_the_field_and_the_version_found() -> None:
    problem = from_outcome(Outcome(7, EVENT, REJECTED, "unique", "email", version=5))
    assert [error[:2] for error in problem.errors] == [("/email", "unique")]
    assert problem.headers == ((b"etag", b'"5"'),)
    assert problem.extra["version"] == 5


def test_a_rejection_of_one_row_of_many_points_at_that_row() -> None:
    problem = from_outcome(Outcome(7, EVENT, REJECTED, "exists", change=2), "/2")
    assert [error.pointer for error in problem.errors] == ["/2/id"]
    assert problem.extra["change"] == 2


def test_a_document_has_the_members_of_the_rfc_and_ours() -> None:
    error = HttpError(
        409, "exists", "it is there", errors=(errors.Problem("/id", "exists", "taken"),)
    )
    assert json.loads(error.body("/users/%C3%A9")) == {
        "type": "/-/docs/problems#exists",
        "title": "Conflict",
        "status": 409,
        "detail": "it is there",
        "instance": "/users/%C3%A9",
        "code": "exists",
        "errors": [{"pointer": "/id", "code": "exists", "message": "taken"}],
    }


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HttpError(403, "foreign_host", "x"), (403, "foreign_host", ())),
        (errors.ForeignToken("x"), (409, "foreign_token", ())),
        (HTTPException(404), (404, "no_such_route", ())),
        (
            HTTPException(405, headers={"Allow": "GET"}),
            (405, "method_not_allowed", ((b"allow", b"GET"),)),
        ),
    ],
)
def test_whatever_a_route_raises_has_an_answer(error: Exception, expected: Any) -> None:
    problem = of_exception(error)
    assert problem is not None
    assert (problem.status, problem.code, problem.headers) == expected


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x")])
def test_a_defect_is_none_of_our_errors(error: Exception) -> None:
    assert of_exception(error) is None


def test_what_a_client_sent_in_bulk_does_not_come_back_in_bulk() -> None:
    many = tuple(errors.Problem(f"/{n}", "type", "must be text") for n in range(500))
    document = json.loads(HttpError(422, "invalid", "x" * 5_000, errors=many).body("/users"))
    assert len(document["errors"]) == 100
    assert len(document["detail"]) < 1_100
    assert document["detail"].endswith("x (500 errors, the first 100 are listed)")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("user", "; did you mean users?"),
        ("USERS", "; did you mean users?"),
        ("orderlines", "; did you mean OrderLines?"),
        ("xyzzy", ""),
        ("", ""),
        ("users" * 1_000, ""),
    ],
)
def test_a_name_near_one_that_is_known_is_offered(asked: str, meant: str) -> None:
    assert did_you_mean(asked, ["users", "OrderLines"]) == meant
