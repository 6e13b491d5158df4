"""The probe of PyTorch's index: yes, no, and no within its limit when nobody answers."""

from __future__ import annotations

import http.server
import importlib.util
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "tools" / "torch_index.py"


@pytest.fixture(scope="module")
def reachable() -> Callable[[str, float], bool]:
    spec = importlib.util.spec_from_file_location("torch_index", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.reachable  # type: ignore[no-any-return]


class Site(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012  (shared on purpose)

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        self.send_response(404 if "absent" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_an_answer_is_seen(reachable: Callable[[str, float], bool], site: str) -> None:
    assert reachable(f"{site}/torch/", 5.0)
    assert not reachable(f"{site}/absent/", 5.0)


def test_a_refused_connection_is_out_of_reach(reachable: Callable[[str, float], bool]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert not reachable(f"http://127.0.0.1:{port}/torch/", 5.0)
    assert not reachable("http://name.that.does.not.exist.invalid/torch/", 5.0)


def test_silence_is_out_of_reach(reachable: Callable[[str, float], bool]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # connections are accepted by the kernel; nobody ever answers
        assert not reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/torch/", 0.2)


def test_the_proxy_of_the_environment_is_asked(
    reachable: Callable[[str, float], bool], site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site)
    assert reachable("http://name.that.does.not.exist.invalid/through/", 5.0)
    assert "http://name.that.does.not.exist.invalid/through/" in Site.asked
