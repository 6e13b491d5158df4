"""A server to measure: one text at a time, in so many milliseconds; run as a program by the tests.

`--daemon FILE` lets a process go that leaves its session and clears its environment, and writes
its number there. `--status` answers everything with that status. `--wrong` answers nonsense.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import subprocess
import sys
import threading
import time


def probability(text: str) -> float:
    """Of the second label, as the tests know it too: by the words without the digits."""
    return 0.2 + 0.6 * (sum(map(ord, text.split(" ", 1)[-1])) % 97) / 97


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ms", type=float, default=0)
    parser.add_argument("--status", type=int, default=200)
    parser.add_argument("--wrong", action="store_true")
    parser.add_argument("--daemon")
    options = parser.parse_args()
    one_at_a_time = threading.Lock()
    if options.daemon:
        sleeper = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, env={}
        )
        with open(options.daemon, "w", encoding="ascii") as file:
            file.write(str(sleeper.pid))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with one_at_a_time:
                time.sleep(options.ms / 1e3)
            second = probability(body["text"])
            if options.wrong:
                second = probability(body["text"][::-1])
            answer = json.dumps({"predictions": [[1 - second, second]]}).encode()
            self.send_response(options.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 1024

    print("serving", os.getpid(), flush=True)
    Server(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
