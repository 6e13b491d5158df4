"""LitServe: tokenising and model in its worker processes, its dynamic batching in front.

Annotations are evaluated as they stand here: LitServe reads the request's from `decode_request`.
"""

from typing import Any

import litserve

from limbeck.bench.serving.peers.settings import Settings
from limbeck.bench.serving.peers.texts import OnnxTexts


class Api(litserve.LitAPI):  # type: ignore[misc]
    """With batches of one LitServe calls neither `batch` nor `unbatch`."""

    def setup(self, device: str) -> None:
        self.model = OnnxTexts(Settings.from_environment())

    def decode_request(self, request: dict[str, Any]) -> str:
        text: str = request["text"]
        return text

    def predict(self, texts: str | list[str]) -> list[list[float]]:
        return self.model.classify([texts] if isinstance(texts, str) else texts)

    def batch(self, inputs: list[str]) -> list[str]:
        return list(inputs)

    def unbatch(self, output: list[list[float]]) -> list[list[list[float]]]:
        return [[row] for row in output]

    def encode_response(self, output: list[list[float]]) -> dict[str, Any]:
        return {"predictions": output}


if __name__ == "__main__":
    settings = Settings.from_arguments()
    server = litserve.LitServer(
        Api(
            max_batch_size=settings.batch,
            batch_timeout=settings.wait_ms / 1e3,
            api_path="/classify",
        ),
        accelerator="cpu",
        devices=1,
        workers_per_device=settings.workers,
        timeout=30,
    )
    server.run(
        host="127.0.0.1",
        port=settings.port,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
