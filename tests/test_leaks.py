"""What is refused as a secret, and what is not. No secret stands here: the shapes are put together."""

from __future__ import annotations

import pytest

from git_deployments import leaks
from git_deployments.model import Json

from .conftest import bounded

A = "A1b2C3d4E5f6G7h8I9j0"
A40 = A + A


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "my_secret",
        "SecretName",
        "DB_PASSWORD",
        "PASSWD",
        "X_PASSPHRASE_PASSW",
        "API_KEY",
        "AWS_CREDENTIALS",
        "tokenizer",
    ],
)
def test_variables_named_like_secrets(name: str) -> None:
    assert leaks.variable_looks_secret(name)


@pytest.mark.parametrize(
    "name", ["GITHUB_SHA", "IMAGE_DIGEST", "KEYBOARD", "MONKEY", "API_KEY_NAME", "PASS", "KEY", "HOME"]
)
def test_variables_named_otherwise(name: str) -> None:
    assert not leaks.variable_looks_secret(name)


SHAPES = [
    ("a GitHub token", "ghp_" + A),
    ("a GitHub token", "gho_" + A40),
    ("a GitHub token", "ghs_" + A),
    ("a GitHub token", "github_pat_" + A),
    ("a GitLab token", "glpat-" + A),
    ("a Slack token", "xoxb-" + "123456789012"),
    ("an AWS access key", "AKIA" + "ABCDEFGH12345678"),
    ("an AWS access key", "ASIA" + "ABCDEFGH12345678"),
    ("a Google API key", "AIza" + A40[:35]),
    ("a Stripe key", "sk_live_" + A),
    ("a Prefect API key", "pnu_" + A40[:36]),
    ("a Prefect API key", "pnb_" + A40[:36]),
    ("a PyPI token", "pypi-" + "AgEIcHlwaS5vcmc" + A40),
    ("an npm token", "npm_" + A40[:36]),
    ("an OpenAI key", "sk-" + A40 + A[:8]),
    ("an OpenAI key", "sk-proj-" + A),
    ("an Anthropic key", "sk-ant-" + "api03-" + A),
    ("an Azure account key", "DefaultEndpointsProtocol=https;AccountKey=" + A40 + A40 + "=="),
    ("a JSON Web Token", "eyJhbGciOi." + "eyJzdWIiOi." + A),
    ("a private key", "-----BEGIN " + "PRIVATE KEY-----\nMII"),
    ("a private key", "-----BEGIN RSA " + "PRIVATE KEY-----"),
    ("a private key", "-----BEGIN OPENSSH " + "PRIVATE KEY-----"),
    ("a private key", "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----"),
    ("a password in a URL", "https://user:" + "hunter2@example.com/x.git"),
    ("a password in a URL", "postgresql+asyncpg://:" + "hunter2@db/prefect"),
    ("a password in a URL", "clone https://a:" + "{{ $X }}@x https://b:pw@y"),
    ("a password in a URL", "https://user:prefix" + "{{$X}}@example.com"),
]


@pytest.mark.parametrize(("kind", "text"), SHAPES)
def test_shapes_of_secrets(kind: str, text: str) -> None:
    assert leaks.text_looks_secret(text) == kind
    assert leaks.text_looks_secret(f'export X="{text}"\n') == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://git@example.com/x.git",
        "git@github.com:my-org/my-repo.git",
        "ssh://git@example.com:22/x",
        "https://example.com:8443/a@b",
        "https://user:***@example.com",
        "https://user:{{ $PASSWORD }}@example.com",
        "https://user:{{$PASSWORD}}@example.com",
        "https://user:{{ prefect.blocks.secret.x }}@example.com",
        "https://user:$PASSWORD@example.com",
        "https://user:${PASSWORD}@example.com",
        "postgresql://{user}:{password}@{host}/db",
        "postgresql://%(user)s:%(password)s@db",
        "amqp://user:<password>@mq",
        "a: b@c",
        "sk-learn-training-pipeline-for-production",
        "task-runner-for-the-nightly-load-of-everything",
        "desk-0123456789abcdefghijklmnopqrstuvwxyz",
        "pypi-mirror",
        "eyJ",
        "the eyJ.eyJ.x of it",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "AKIASHORT",
        "XAKIA" + "ABCDEFGH12345678",
        "0123456789abcdef0123456789abcdef01234567",
        "registry.example.com/etl@sha256:" + "b" * 64,
    ],
)
def test_what_is_no_secret(text: str) -> None:
    assert leaks.text_looks_secret(text) is None


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "eyJ",
            "eyJa.",
            "eyJaaaaaa.eyJaaaaaa.",
            "://a:",
            "://",
            ":",
            "://:<",
            "-----BEGIN ",
            "-----BEGIN A",
            "-",
            "A",
        ),
        *(
            "sk-",
            "sk-proj-",
            "ghp_",
            "gl",
            "glpat-",
            "xoxb-",
            "AKIA",
            "AIza",
            "AccountKey=",
            "pypi-",
            "npm_",
            "pnu_",
            "@",
        ),
    ],
)
def test_time_is_linear(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    with bounded():  # a quadratic search takes many minutes
        for before, after in (("", ""), ("://x:", ""), ("eyJ", ".eyJ"), ("-----BEGIN ", "PRIVATE KEY")):
            leaks.text_looks_secret(f"{before}{text}{after}")


def kinds(properties: dict[str, Json]) -> list[tuple[str, str]]:
    return [(leak.key, leak.kind) for leak in leaks.find(properties)]


@pytest.mark.parametrize(
    "key",
    ["access_token", "password", "API_KEY", "DB_PASSWORD", "openai-api-key", "aws_secret_access_key", "client_secret"],
)
def test_literal_values_of_secret_keys(key: str) -> None:
    assert kinds({"parameters": {key: "hunter2"}}) == [(f"parameters.{key}", "a literal secret")]
    assert kinds({"parameters": {key: 12345}}) == [(f"parameters.{key}", "a literal secret")]
    assert kinds({"parameters": {key: ["", "x"]}}) == [(f"parameters.{key}.1", "a literal secret")]


def test_values_that_their_neighbour_names() -> None:
    env: Json = [
        {"name": "DB_PASSWORD", "value": "hunter2"},
        {"name": "DB_PASSWORD", "value": "$(PW)"},
        {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        {"name": "LEVEL", "value": "debug"},
        {"name": ["password"], "value": "x"},
    ]
    assert kinds({"job_variables": {"env": env}}) == [("job_variables.env.0.value", "a literal secret")]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        True,
        "{{ prefect.blocks.secret.x }}",
        "x-token:{{ step.stdout }}",
        "$TOKEN",
        "${TOKEN}",
        "***",
        "<here>",
        {},
        [],
    ],
)
def test_stand_ins_under_secret_keys(value: Json) -> None:
    assert kinds({"parameters": {"access_token": value}}) == []


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "eos_token",
        "TOKENIZERS_PARALLELISM",
        "secret",
        "image_pull_secret",
        "secretName",
        "api_key_name",
        "password_file",
        "key",
    ],
)
def test_keys_that_only_sound_like_secrets(key: str) -> None:
    assert kinds({"job_variables": {"env": {key: "value"}}}) == []


def test_places_are_dotted_and_in_order() -> None:
    token = "ghp_" + A
    properties: dict[str, Json] = {
        "description": token,
        "tags": ["fine", token],
        "pull_steps": [
            {"prefect.deployments.steps.git_clone": {"access_token": "hunter2", "repository": "https://u:p@h"}}
        ],
        "job_variables": {"env": {token: "as a key"}},
    }
    assert kinds(properties) == [
        ("description", "a GitHub token"),
        ("tags.1", "a GitHub token"),
        ("pull_steps.0.prefect.deployments.steps.git_clone.access_token", "a literal secret"),
        ("pull_steps.0.prefect.deployments.steps.git_clone.repository", "a password in a URL"),
        ("job_variables.env", "a GitHub token"),
    ]


def test_hints_say_what_to_use_instead() -> None:
    (step, other) = leaks.find({"pull_steps": [{"f": {"password": "x"}}], "parameters": {"password": "x"}})
    assert step.hint == "use a Prefect block, {{ prefect.blocks.secret.NAME }}, or a runtime variable"
    assert other.hint == "use a Prefect block, {{ prefect.blocks.secret.NAME }}"


def test_depth_does_not_matter() -> None:
    value: Json = "ghp_" + A
    for _ in range(20_000):
        value = [value]
    (leak,) = leaks.find({"parameters": value})
    assert leak.kind == "a GitHub token"


def test_allowed_keys() -> None:
    key = "pull_steps.0.prefect.deployments.steps.git_clone.access_token"
    assert leaks.allowed(key, ["access_token"])
    assert leaks.allowed(key, [key])
    assert not leaks.allowed(key, ["git_clone.access_token", "token", "pull_steps"])
    assert not leaks.allowed(key, [])
