"""What a server is told: a TOML file, the environment (LIMBECK_SERVE_...), the command line.

Frozen, and strict: an unknown name is an error, with the nearest one that is known.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Priority = Literal["high", "normal", "low", "background"]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _address_or_network(value: str) -> str:
    try:
        read = ipaddress.ip_network if "/" in value else ipaddress.ip_address
        return str(read(value))
    except ValueError as error:
        raise ValueError(f"{error}; give an address, or a network such as 10.0.0.0/8") from None


Network = Annotated[str, AfterValidator(_address_or_network)]


class Section(BaseModel):
    """What all sections share."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ModelSettings(Section):
    """[[models]]: one version of one model.

    path: an artifact or what else `limbeck.load` takes. default: the version that answers where
    none is named; without any, the last one listed. preload: load at start; otherwise at the first
    request. required: the server is not ready without it. digest: refuse to load anything else.
    deadline_ms, priority: where a request names none. options: of the task's pipeline.
    fallback: name, or name/version, of the model that answers while this one's breaker is open.
    """

    name: Name
    version: Name = "1"
    path: str
    default: bool = False
    task: str | None = None
    precision: str = "auto"
    runtime: str = "limbeck"
    device: str = "cpu"
    digest: str | None = None
    preload: bool = True
    required: bool = True
    deadline_ms: Positive = 1000.0
    priority: Priority = "normal"
    cache: bool = True
    options: dict[str, Any] = {}
    fallback: str | None = None


class LimitSettings(Section):
    """[limits]: what a single client can ask of the server.

    header_bytes: of the head of a request. header_timeout_s: for the head; read_timeout_s: for the
    body; idle_timeout_s: how long a connection is kept without a request. drain_grace_s: how long
    shutting down says "not ready" before it accepts no more; drain_s: how long it then waits for
    answers.
    """

    body_bytes: Count = 4 << 20
    rows: Count = 1024
    characters: Count = 1_000_000
    json_depth: Count = 32
    connections: Count = 4096
    header_bytes: Count = 32 << 10
    header_timeout_s: Positive = 10.0
    read_timeout_s: Positive = 10.0
    idle_timeout_s: Positive = 75.0
    max_timeout_ms: Positive = 600_000.0
    drain_grace_s: Annotated[float, Field(ge=0)] = 0.0
    drain_s: Positive = 30.0


class QueueSettings(Section):
    """[queue]: see `limbeck.serve.scheduler`. ageing_s: waiting so long makes up for one class.

    max_batch_ms: of a batch of several rows, as predicted: how long something urgent that comes
    later may be kept waiting.
    """

    max_tokens: Count = 262_144
    max_batch_tokens: Count = 4096
    max_batch_rows: Count = 256
    max_batch_ms: Positive = 50.0
    ageing_s: Positive = 1.0


class CacheSettings(Section):
    """[cache]: size_bytes 0 turns it off. preload: files that `limbeck embed --out` wrote."""

    size_bytes: Annotated[int, Field(ge=0)] = 64 << 20
    ttl_s: Positive | None = None
    per_tenant: bool = False
    preload: tuple[str, ...] = ()


class BreakerSettings(Section):
    """[breaker]: of every model. Opens when, in the last window_s and at least min_requests, the
    share of errors or of slow answers (over slow_share of the deadline) reaches its bound.
    """

    enabled: bool = True
    window_s: Positive = 10.0
    min_requests: Count = 20
    error_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    slow_rate: Annotated[float, Field(gt=0, le=1)] = 0.9
    slow_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    open_s: Positive = 5.0
    probes: Count = 3


class KeySettings(Section):
    """[[keys]]: sha256: of the key, in hex (`limbeck serve --new-key` prints both). models: None
    for all. tokens_per_s with burst_tokens: the key's share, None for no limit.
    """

    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Literal["predict", "admin"], ...] = ("predict",)
    models: tuple[Name, ...] | None = None
    tokens_per_s: Positive | None = None
    burst_tokens: Positive | None = None


class RateSettings(Section):
    """[rate]: for clients without a key, each address by itself; None: no limit."""

    tokens_per_s: Positive | None = None
    burst_tokens: Positive | None = None


class AdminSettings(Section):
    """[admin]: a port of its own for loading, unloading and reloading; off where absent.

    sha256: of its key, in hex.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AttributeSettings(Section):
    """[decision.attributes.NAME]: which model reads the attribute, and how.

    model: name, or name/version; None: the default. positive: the label whose probability is the
    score; None: the one that the model stores a threshold for. threshold: None for the model's own,
    else 0.5.
    """

    model: str | None = None
    positive: str | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class DecisionSettings(Section):
    """[decision]: the rules of POST /decision.

    labels: what the answer calls the negative and the positive outcome. attributes: by name;
    without any, every attribute of a request goes to the default model. idempotency_s: how long the
    answer to a transaction id is kept.
    """

    model_code: str = "limbeck"
    model_version: str = "1.0"
    refresh_version: str = "v1"
    segment: str = ""
    negative_label: str = "NonFraud"
    positive_label: str = "Fraud"
    attributes: dict[str, AttributeSettings] = {}
    idempotency_s: Positive = 600.0
    idempotency_entries: Count = 10_000


class MemorySettings(Section):
    """[memory]: soft_limit_bytes: of each process; above it the cache shrinks, then models are
    loaded anew. None: nine tenths of the container's limit, shared out among the processes; where
    there is none, nothing is watched. check_s: how often to look.
    """

    soft_limit_bytes: Count | None = None
    check_s: Positive = 5.0


class LogSettings(Section):
    """[log]: texts: also write what users sent; off, for it can be personal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"
    access: bool = True
    texts: bool = False


class ServerSettings(Section):
    """[server]: threads: in all, None for the CPUs that the process may use, shared out among the
    processes; instances: batches computed side by side in each, None for one a thread: they share
    the threads, and a batch that is alone gets all of them. port 0: a free one, which is said.
    protocols: None for all. metrics_port: where each process tells of itself, the first there and
    the others on the ports behind it; None: on the port of the requests, where processes is 1.
    hung_s: of several processes, one that is silent for so long is ended and started again.
    trusted_proxies: addresses and networks whose word on who asks (X-Forwarded-For) is taken.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    processes: Count = 1
    threads: Count | None = None
    instances: Count | None = None
    protocols: tuple[str, ...] | None = None
    docs: bool = True
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    hung_s: Positive = 10.0
    trusted_proxies: tuple[Network, ...] = ()


class Settings(Section):
    """The whole. default_model: answers where a request names none; without it the first one."""

    server: ServerSettings = ServerSettings()
    default_model: Name | None = None
    models: tuple[ModelSettings, ...] = ()
    # Bytes of all loaded models; the longest unused are let go first. None: no bound.
    models_bytes: Count | None = None
    limits: LimitSettings = LimitSettings()
    queue: QueueSettings = QueueSettings()
    cache: CacheSettings = CacheSettings()
    breaker: BreakerSettings = BreakerSettings()
    keys: tuple[KeySettings, ...] = ()
    rate: RateSettings = RateSettings()
    admin: AdminSettings | None = None
    decision: DecisionSettings = DecisionSettings()
    memory: MemorySettings = MemorySettings()
    log: LogSettings = LogSettings()
    tracing: bool = False
