"""Settings from a file, the environment and the command line, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import InputError
from limbeck.serve.load_settings import load_settings

KEY = "ab" * 32
WHOLE = f"""
default_model = "b"
models_bytes = 1000000

[server]
port = 9000
threads = 3

[[models]]
name = "a"
path = "model"
deadline_ms = 50
options = {{ top_k = 2 }}

[[models]]
name = "b"
version = "2"
path = "no-such-directory/on-a-hub"
fallback = "a/1"

[[keys]]
name = "one"
sha256 = "{KEY}"
models = ["a"]

[decision.attributes.text]
model = "b"
threshold = 0.25
"""


def load(
    tmp_path: Path, text: str | None, environ: dict[str, str] | None = None, **overrides: Any
) -> Any:
    path = None
    if text is not None:
        path = tmp_path / "serve.toml"
        path.write_text(text)
    return load_settings(path, overrides=overrides, environ=environ or {})


def test_without_anything_all_is_as_it_is(tmp_path):
    settings = load(tmp_path, None)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.models == settings.keys == ()


def test_a_file(tmp_path):
    (tmp_path / "model").mkdir()
    settings = load(tmp_path, WHOLE)
    assert settings.server.threads == 3
    one, two = settings.models
    assert one.path == str(tmp_path / "model")
    assert (one.options, one.deadline_ms) == ({"top_k": 2}, 50.0)
    assert two.path == "no-such-directory/on-a-hub"
    assert settings.decision.attributes["text"].threshold == 0.25
    assert settings.keys[0].models == ("a",)


def test_the_environment_is_above_the_file_and_the_command_line_above_both(tmp_path):
    environ = {
        "LIMBECK_SERVE_SERVER__PORT": "9001",
        "LIMBECK_SERVE_SERVER__THREADS": "5",
        "LIMBECK_SERVE_LIMITS__DRAIN_S": "1.5",
        "LIMBECK_SERVE_TRACING": "true",
        "LIMBECK_SERVE_SERVER__PROTOCOLS": '["own", "oip"]',
        "PATH": "/bin",
    }
    settings = load(tmp_path, WHOLE, environ, server={"port": 9002})
    assert (settings.server.port, settings.server.threads) == (9002, 5)
    assert settings.limits.drain_s == 1.5
    assert settings.tracing is True
    assert settings.server.protocols == ("own", "oip")
    assert len(settings.models) == 2


def test_models_can_come_from_the_environment(tmp_path):
    environ = {"LIMBECK_SERVE_MODELS": '[{"name": "x", "path": "/y"}]'}
    assert load(tmp_path, None, environ).models[0].name == "x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 1", "serve.toml has no key 'port'"),
        ("[sever]\nport = 1", "has no key 'sever'; did you mean 'server'?"),
        (
            "[server]\nprot = 1",
            r"\[server\] of .*serve.toml has no key 'prot'; did you mean 'port'",
        ),
        ("[[models]]\nname = 'a'\npath = 'x'\nprecison = 'int8'", r"\[models\[0\]\].*'precision'"),
        ("[decision.attributes.a]\nmodle = 'b'", r"\[decision.attributes.a\].*'model'"),
        ("[server]\nport = 'x'", "serve.toml: server.port: .*integer"),
        ("[server]\nport = 70000", "server.port: .*less than or equal to 65535"),
        ("[server]\ntrusted_proxies = ['proxy']", r"trusted_proxies\[0\]: .*'proxy'.*an address"),
        ("[server]\ntrusted_proxies = ['10.0.0.1/8']", "has host bits set; .*such as 10.0.0.0/8"),
        ("[server]\ntrusted_proxies = '10.0.0.1'", "server.trusted_proxies: "),
        ("[[models]]\nname = 'a'", r"models\[0\].path: field required"),
        ("[[models]]\nname = '../a'\npath = 'x'", r"models\[0\].name: .*pattern"),
        ("[[models]]\nname = 'a'\npath = 'x'\ndeadline_ms = 0", "deadline_ms: .*greater than 0"),
        ("[[models]]\nname = 'a'\npath = 'x'\ndeadline_ms = nan", "deadline_ms"),
        ("[[models]]\nname = 'a'\npath = 'x'\npriority = 'top'", "priority: .*'high'"),
        ("[[keys]]\nname = 'a'\nsha256 = 'secret'", "sha256: .*--new-key NAME makes"),
        ("models = 3", "serve.toml: models: "),
        ("server = 3", "serve.toml: server: "),
        ("default_model = 'a'", "default_model: there is no model 'a'"),
        ("[[models]]\nname='a'\npath='x'\n" * 2, "'a' has version '1' twice"),
        (
            "[[models]]\nname='a'\npath='x'\nfallback='b'",
            "fallback of model 'a': there is no model 'b'; did|known",
        ),
        ("[[models]]\nname='a'\npath='x'\nfallback='a/2'", "model 'a' has no version '2'"),
        (
            f"[[keys]]\nname='a'\nsha256='{KEY}'\n[[keys]]\nname='a'\nsha256='{'cd' * 32}'",
            "two keys have the same name",
        ),
        (
            f"[[keys]]\nname='a'\nsha256='{KEY}'\n[[keys]]\nname='b'\nsha256='{KEY}'",
            "two names have the same key",
        ),
        (f"[[keys]]\nname='a'\nsha256='{KEY}'\nmodels=['x']", "models of key 'a': .*no model 'x'"),
        ("[decision.attributes.a]\nmodel = 'b'", "decision.attributes.a.model: .*no model 'b'"),
        (
            "[[models]]\nname='a'\npath='x'\n[decision.attributes.a]\nmodel = 'a/2'",
            "decision.attributes.a.model: model 'a' has no version '2'",
        ),
        ("this is no toml", "serve.toml is no TOML: .*line 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as caught:
        load(tmp_path, text)
    assert "secret" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"LIMBECK_SERVE_SERVER__PROT": "1"}, "LIMBECK_SERVE_SERVER__PROT is no .*mean 'port'"),
        ({"LIMBECK_SERVE_SEVER__PORT": "1"}, "LIMBECK_SERVE_SEVER__PORT is no .*mean 'server'"),
        ({"LIMBECK_SERVE_SERVER__PORT": "x"}, r"environment \(LIMBECK_SERVE_SERVER__PORT\): "),
        ({"LIMBECK_SERVE_MODELS": "[nonsense"}, "environment: .*written in JSON"),
    ],
)
def test_what_is_wrong_in_the_environment_is_said(tmp_path, environ, words):
    with pytest.raises(InputError, match=words):
        load(tmp_path, None, environ)


def test_what_is_wrong_on_the_command_line_is_said(tmp_path):
    with pytest.raises(InputError, match=r"the command line: server.port: "):
        load(tmp_path, WHOLE, server={"port": -1})


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the configuration .*No such file"):
        load_settings(tmp_path / "none.toml", overrides={}, environ={})
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot read the configuration"):
        load_settings(tmp_path / "bytes.toml", overrides={}, environ={})


def test_an_attribute_may_name_a_version(tmp_path: Path) -> None:
    models = "[[models]]\nname='a'\nversion='2'\npath='x'\n"
    settings = load(tmp_path, models + "[decision.attributes.text]\nmodel = 'a/2'")
    assert settings.decision.attributes["text"].model == "a/2"
