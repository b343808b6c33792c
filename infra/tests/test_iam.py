"""The evaluation of policies, by the rules of IAM's user guide."""

import pytest
from iam import Grant, PolicyError, Request, decide, grants, matches, matches_arn

BULK = Request("es:ESHttpPost", "arn:aws:es:eu-central-1:123456789012:domain/events/_bulk")


def statement(**members):
    return {"Effect": "Allow", "Action": BULK.action, "Resource": BULK.resource, **members}


def allows(*statements, request=BULK) -> bool:
    return decide(grants({"Statement": list(statements)}), request) != []


def test_wildcards_stand_for_any_text_and_any_character():
    for pattern, text in [
        ("*", ""),
        ("a*c", "ac"),
        ("a*c", "abbc"),
        ("a?c", "abc"),
        ("a.c", "a.c"),
        ("*/_search", "dead-letters-*/_search"),
    ]:
        assert matches(pattern, text), (pattern, text)
    for pattern, text in [("a?c", "ac"), ("a.c", "abc"), ("a", "ab"), ("a*c", "abcd"), ("A", "a")]:
        assert not matches(pattern, text), (pattern, text)


def test_a_wildcard_of_an_arn_stays_in_its_segment_and_the_last_holds_everything():
    arn = BULK.resource
    for pattern in [
        "*",
        arn,
        "arn:aws:es:*:*:domain/events/*",
        "arn:*:es:eu-central-1:123456789012:*",
        "arn:aws:es:eu-?entral-1:*:domain/*/_bulk",
    ]:
        assert matches_arn(pattern, arn), pattern
    for pattern in [
        "arn:aws:es:*:domain/events/_bulk",
        "arn:aws:es:*",
        "arn:aws:es:eu-central-1:123456789012:domain/events",
        "arn:aws:s3:::*",
    ]:
        assert not matches_arn(pattern, arn), pattern
    assert matches_arn("arn:aws:logs:*:*:log-group:*", "arn:aws:logs:eu-central-1:1:log-group:a:log-stream:b")


def test_only_what_a_statement_allows_is_allowed():
    assert allows(statement())
    assert allows(statement(Action=["es:ESHttpGet", "es:*Post"]))
    assert allows(statement(Action="ES:esHTTPpost")), "actions ignore case"
    assert not allows()
    assert not allows(statement(Action="es:ESHttpPut"))
    assert not allows(statement(Resource=f"{BULK.resource}s"))
    assert not allows(statement(Resource=BULK.resource.replace("events", "EVENTS"))), "resources do not ignore case"


def test_a_deny_wins_over_any_allow():
    assert not allows(statement(), statement(Effect="Deny", Action="*", Resource="*"))
    assert allows(statement(), statement(Effect="Deny", Action="es:ESHttpDelete"))


def test_conditions_are_all_met_and_a_missing_key_meets_none():
    listing = Request("s3:ListBucket", "arn:aws:s3:::b", {"s3:prefix": "aws/lambda/x"})

    def listed(condition, request=listing):
        return allows(
            statement(Action="s3:ListBucket", Resource="arn:aws:s3:::b", Condition=condition), request=request
        )

    assert listed({"StringLike": {"s3:prefix": ["x", "aws/lambda/*"]}})
    assert listed({"StringLike": {"S3:Prefix": "aws/*"}, "StringEquals": {"s3:prefix": "aws/lambda/x"}})
    assert not listed({"StringLike": {"s3:prefix": "aws/*"}, "StringEquals": {"s3:prefix": "aws"}})
    whole = Request("s3:ListBucket", "arn:aws:s3:::b")
    assert not listed({"StringLike": {"s3:prefix": "*"}}, whole)
    assert listed({"StringLikeIfExists": {"s3:prefix": "aws/*"}}, whole)


def test_what_is_not_evaluated_or_malformed_is_an_error():
    for wrong in [
        statement(Resource=[]),
        statement(Action=[]),
        statement(Effect="allow"),
        statement(Resource="events"),
        statement(Resource=""),
        statement(Resource="arn:aws:s3:::b/${aws:username}"),
        {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"},
    ]:
        with pytest.raises(PolicyError):
            grants({"Statement": wrong})
    with pytest.raises(PolicyError):
        allows(statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))


def test_each_action_and_resource_is_a_grant_of_its_own():
    assert grants({"Statement": statement(Action=["a:A", "a:B"], Resource=["arn:aws:a:::1", "*"])}) == [
        Grant("Allow", action, resource) for action in ("a:A", "a:B") for resource in ("arn:aws:a:::1", "*")
    ]


def test_each_resource_of_a_request_is_allowed():
    both = Request("a:Get", "arn:aws:a:::registry/r", others=("arn:aws:a:::schema/r/s",))
    registry = Grant("Allow", "a:Get", "arn:aws:a:::registry/*")
    schema = Grant("Allow", "a:Get", "arn:aws:a:::schema/*")
    assert decide([registry, schema], both) == [registry, schema]
    assert decide([registry], both) == decide([schema], both) == []
    assert decide([registry, schema, Grant("Deny", "a:Get", "arn:aws:a:::schema/r/*")], both) == []
