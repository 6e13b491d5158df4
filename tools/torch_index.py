"""Print the address of PyTorch's CPU index where it can be reached, else nothing.

Proxies are those of the environment (HTTPS_PROXY, NO_PROXY). Never takes longer than 5 seconds: a
resolver or a proxy that hangs counts as out of reach.
"""

from __future__ import annotations

import os
import ssl
import threading
import urllib.request

INDEX = "https://download.pytorch.org/whl/cpu"
LIMIT_S = 4.0


def reachable(url: str, limit_s: float) -> bool:
    """Whether a HEAD request to `url` is answered with success within `limit_s` seconds."""
    answered = threading.Event()

    def ask() -> None:
        try:
            bundle = os.environ.get("PIP_CERT") or None
            context = ssl.create_default_context(cafile=bundle)
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=limit_s, context=context):
                answered.set()
        except Exception:  # out of reach in whatever way: the answer is the same
            return
        finally:
            done.set()

    done = threading.Event()
    # The timeout of a request does not bound name resolution; waiting for a thread does.
    threading.Thread(target=ask, daemon=True).start()
    done.wait(limit_s)
    return answered.is_set()


if __name__ == "__main__":
    if reachable(f"{INDEX}/torch/", LIMIT_S):
        print(INDEX)
