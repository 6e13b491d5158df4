"""MLServer: Open Inference Protocol, adaptive batching, models in its worker processes."""

from __future__ import annotations

import asyncio

from mlserver import MLModel, MLServer, ModelSettings
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.settings import Settings as ServerSettings
from mlserver.types import InferenceRequest, InferenceResponse

from limbeck.bench.serving.peers.settings import Settings
from limbeck.bench.serving.peers.texts import OnnxTexts


class Texts(MLModel):  # type: ignore[misc]
    """A model of MLServer's: BYTES [B] in, FP64 [B, L] out."""

    async def load(self) -> bool:
        self.model = OnnxTexts(Settings.from_environment())
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        import numpy as np

        texts = StringCodec.decode_input(payload.inputs[0])
        answer = np.array(self.model.classify(texts))
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("probabilities", answer)]
        )


async def main() -> None:
    """Serve until a signal."""
    settings = Settings.from_arguments()
    server = MLServer(
        ServerSettings(
            host="127.0.0.1",
            http_port=settings.port,
            # 0 computes in the process that speaks HTTP.
            parallel_workers=settings.workers if settings.workers > 1 else 0,
            grpc_port=0,
            metrics_endpoint=None,
            debug=False,
        )
    )
    model = ModelSettings(
        name="texts",
        implementation=Texts,
        max_batch_size=settings.batch if settings.batch > 1 else 0,
        max_batch_time=settings.wait_ms / 1e3 if settings.batch > 1 else 0,
    )
    await server.start([model])


if __name__ == "__main__":
    asyncio.run(main())
