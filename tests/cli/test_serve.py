"""limbeck serve as a program: starting, signals, exit codes, several processes, no torch."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
from hashlib import sha256

import pytest

from limbeck.cli import main
from waiting import PATIENCE_S, until

ASKED = {"inputs": "a lovely flat near the sea"}
PATIENT = {"X-Request-Timeout-Ms": "60000"}


@pytest.fixture
def model(zoo) -> str:
    return str(zoo("bert", "text-classification"))


def ask(url: str, body: object = None, **headers: str) -> tuple[int, object]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_model_is_served_under_its_name_until_it_is_told_to_end(program, model):
    server = program(model, "--port", "0", "--threads", "1")
    url = server.ready()
    assert f"docs {url}/docs, bert, 1 threads" in server.said
    status, answer = ask(f"{url}/v1/models/bert/predict", ASKED, **PATIENT)
    assert status == 200
    assert "label" in json.dumps(answer)
    for probe in ("live", "ready", "startup"):
        assert ask(f"{url}/health/{probe}")[0] == 200
    assert ask(f"{url}/openapi.json")[1]["openapi"].startswith("3.1")
    assert server.end() == 0
    assert "Traceback" not in server.said


def test_no_torch_and_no_fastapi_before_it_is_asked_for(program, model, tmp_path):
    told = tmp_path / "told"
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        f"atexit.register(lambda: open({str(told)!r}, 'w').write(' '.join(sys.modules)))\n"
    )
    server = program(model, "--port", "0", environ={"PYTHONPATH": str(tmp_path)})
    url = server.ready()
    assert ask(f"{url}/v1/models/bert/predict", ASKED)[0] in (200, 429, 504)
    assert server.end() == 0
    modules = set(told.read_text().split())
    assert "limbeck.serve.app" in modules
    assert not modules & {"torch", "transformers", "fastapi", "sklearn", "pyarrow", "rich.console"}


def test_a_port_in_use_is_told(program, model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for more in ((), ("--processes", "2")):
            server = program(model, "--port", port, *more)
            assert server.wait() == 2
            assert f"port {port}: Address already in use; end what listens there" in server.said
            assert "Traceback" not in server.said


@pytest.mark.parametrize("more", [(), ("--processes", "2")])
def test_a_model_that_cannot_be_loaded_ends_the_server(program, tmp_path, more):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "limbeck.json").write_text("{}")
    server = program(str(tmp_path / "broken"), "--port", "0", *more)
    assert server.wait() in (1, 2)
    assert "limbeck: " in server.said
    assert "Traceback" not in server.said
    assert "another is started" not in server.said


def test_several_processes_share_a_port_and_one_that_dies_is_replaced(program, model):
    server = program(model, "--port", "0", "--threads", "2", "--processes", "2")
    url = server.ready()
    assert "2 processes, 2 threads" in server.said
    pids = server.children()
    assert len(pids) == 2
    os.kill(pids[0], signal.SIGKILL)
    server.read_until("ended by signal 9")
    # The port stays open all along: the other one answers.
    for _ in range(5):
        status, _ = ask(f"{url}/v1/models/bert/predict", ASKED, **PATIENT)
        assert status == 200
    until(lambda: len(set(server.children()) - set(pids)) == 1)
    assert pids[1] in server.children()
    assert server.end() == 0, server.said


def test_hangup_takes_over_another_file(program, zoo, model, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text(f"[[models]]\nname = 'one'\npath = {model!r}\n")
    server = program("--config", str(config), "--port", "0")
    url = server.ready()
    assert ask(f"{url}/v1/models/two")[0] == 404
    other = str(zoo("bert", "token-classification"))
    config.write_text(config.read_text() + f"[[models]]\nname = 'two'\npath = {other!r}\n")
    server.send(signal.SIGHUP)
    until(lambda: ask(f"{url}/v1/models/two")[0] == 200)
    digest = sha256(b"secret").hexdigest()
    before = config.read_text()
    config.write_text(before + f"[[keys]]\nname = 'me'\nsha256 = {digest!r}\n")
    server.send(signal.SIGHUP)
    until(lambda: ask(f"{url}/v1/models/two")[0] == 401)
    config.write_text(before)
    server.send(signal.SIGHUP)
    until(lambda: ask(f"{url}/v1/models/two")[0] == 200)
    config.write_text("nonsense")
    server.send(signal.SIGHUP)
    server.read_until("is no TOML")
    assert ask(f"{url}/v1/models/two")[0] == 200
    assert server.end() == 0


def test_keys_and_the_admin_port(program, model):
    digest = sha256(b"secret").hexdigest()
    keys = json.dumps([{"name": "me", "sha256": digest}])
    server = program(
        model,
        *("--port", "0", "--admin-port", "0"),
        environ={"LIMBECK_SERVE_KEYS": keys, "LIMBECK_SERVE_ADMIN__SHA256": digest},
    )
    url = server.ready()
    assert ask(f"{url}/v1/models")[0] == 401
    assert ask(f"{url}/v1/models", **{"X-API-Key": "secret"})[0] == 200
    assert ask(f"{url}/admin/models", **{"X-API-Key": "secret"})[0] == 404
    found = re.search(r"admin (http://[0-9.:]+)", server.said)
    assert found is not None, server.said
    admin = f"{found[1]}/admin"
    assert ask(f"{admin}/models")[0] == 401
    status, found = ask(f"{admin}/models", **{"X-API-Key": "secret"})
    assert (status, found["models"][0]["state"]) == (200, "ready")
    assert ask(f"{admin}/reload", {}, **{"X-API-Key": "secret"})[0] == 200
    assert server.end() == 0
    assert "secret" not in server.said


# Without a server.


def test_check_tells_what_is_wrong_and_what_is_right(capsys, tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text("[[models]]\nname = 'a'\npath = 'x'\n")
    assert main.run(["serve", "--config", str(config), "--check"]) == 0
    assert capsys.readouterr().err == f"{config}: all right\n"
    config.write_text(
        "[server]\nprotocols = ['oip', 'opnai']\n[[models]]\nname = 'a'\npath = 'x'\n"
    )
    assert main.run(["serve", "--config", str(config), "--check"]) == 2
    assert "no protocol 'opnai'; did you mean 'openai'?" in capsys.readouterr().err
    config.write_text("[limits]\nrow = 1\n")
    assert main.run(["serve", "--config", str(config), "--check"]) == 2
    assert "did you mean 'rows'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to serve: name a model"),
        (["--name", "x"], "--name is for the MODEL of the command line"),
        (["m", "--port", "99999"], "the command line: server.port"),
        (["m", "--threads", "0"], "the command line: server.threads"),
        (["m", "--name", "no/slash"], "models[0].name"),
        (["m", "--config", "/no/such/file"], "cannot read the configuration /no/such/file"),
        (["m", "--log-format", "xml"], "the command line: log.format"),
        (["m", "--admin-port", "1"], "admin.sha256: field required; limbeck serve --new-key"),
    ],
)
def test_what_cannot_be_served_is_said(arguments, words, capsys):
    assert main.run(["serve", *arguments, "--check"]) == 2
    assert words in capsys.readouterr().err


def test_a_new_key_is_printed_with_its_settings(capsys):
    import tomllib

    assert main.run(["serve", "--new-key", "team"]) == 0
    out = capsys.readouterr().out
    key = re.search(r"lk-\S+", out).group()
    (entry,) = tomllib.loads(out)["keys"]
    assert entry == {"name": "team", "sha256": sha256(key.encode()).hexdigest()}
    assert main.run(["serve", "--new-key", "no good"]) == 2


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True), ("::", True)],
)
def test_an_open_door_is_warned_of(host, warned, capsys):
    from limbeck.cli.serving import _warn
    from limbeck.serve.settings import KeySettings, ServerSettings, Settings

    _warn(Settings(server=ServerSettings(host=host)))
    assert ("anybody who reaches" in capsys.readouterr().err) == warned
    _warn(
        Settings(server=ServerSettings(host=host), keys=(KeySettings(name="a", sha256="ab" * 32),))
    )
    assert capsys.readouterr().err == ""
