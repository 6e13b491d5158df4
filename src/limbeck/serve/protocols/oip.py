"""The Open Inference Protocol, version 2, as KServe and Triton speak it.

With Triton's binary tensor extension, its parameters priority and timeout, and its model
repository extension (that one on the admin port). Texts go in as BYTES; see `oip_tasks` for the
tensors of each task. Left out: token ids as inputs, shared memory, sequences, classification of
outputs, compressed bodies, and Triton's routes for model configuration, statistics, traces and
logging.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from limbeck import __version__
from limbeck.serve.json_body import dump, parse
from limbeck.serve.protocols import fields, oip_binary, oip_operations, oip_tasks, oip_tensors
from limbeck.serve.protocols.asking import ask
from limbeck.serve.protocols.base import Call, Context, Reply, Route, Scope
from limbeck.serve.protocols.oip_repository import Repository
from limbeck.serve.protocols.refusing import refusal
from limbeck.serve.refused import RefusedError
from limbeck.serve.request import PRIORITIES

_Handle = Callable[[Call], Awaitable[Reply]]

PROTOCOL = "oip"
EXTENSIONS = ("binary_tensor_data", "parameters", "schedule_policy")
_OF_ADMINS = "model_repository"
_FIELDS = ("id", "parameters", "inputs", "outputs")
_OUTPUT_FIELDS = ("name", "parameters")
_OUTPUT_PARAMETERS = ("binary_data",)
_SEQUENCES = ("sequence_id", "sequence_start", "sequence_end")
# Triton counts priorities from 1, the highest; 0 is the model's own.
_HIGHEST, _LOWEST = 1, 1 + max(PRIORITIES.values())


def error(refused: RefusedError) -> Reply:
    """A refusal in the words of the protocol."""
    return refusal(refused, {"error": refused.message})


def routes(context: Context) -> list[Route]:
    """All operations; those of the repository have the scope of the admin port."""
    protocol, repository = _Protocol(context), Repository(context)
    operations = oip_operations.operations(context.settings.limits)
    named = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
    table: list[tuple[str, str, _Handle, Scope]] = [
        ("GET", "/v2", protocol.server, "open"),
        ("GET", "/v2/health/live", protocol.live, "open"),
        ("GET", "/v2/health/ready", protocol.ready, "open"),
        *(("GET", path, protocol.metadata, "predict") for path in named),
        *(("GET", f"{path}/ready", protocol.model_ready, "predict") for path in named),
        *(("POST", f"{path}/infer", protocol.infer, "predict") for path in named),
        ("POST", "/v2/repository/index", repository.index, "admin"),
        ("POST", "/v2/repository/models/{name}/load", repository.load, "admin"),
        ("POST", "/v2/repository/models/{name}/unload", repository.unload, "admin"),
    ]
    return [
        Route(
            protocol=PROTOCOL,
            method="GET" if method == "GET" else "POST",
            path=path,
            handle=handle,
            error=error,
            operation=operations[method, path],
            scope=scope,
        )
        for method, path, handle, scope in table
    ]


class _Protocol:
    """What is asked of models."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def server(self, call: Call) -> Reply:
        extensions = list(EXTENSIONS)
        if self._context.settings.admin is not None:
            extensions.append(_OF_ADMINS)
        return Reply(
            body=dump({"name": "limbeck", "version": __version__, "extensions": extensions})
        )

    async def live(self, call: Call) -> Reply:
        return Reply(body=dump({"live": True}))

    async def ready(self, call: Call) -> Reply:
        missing = self._context.service.not_ready()
        if missing:
            raise RefusedError("unavailable", "; ".join(missing))
        return Reply(body=dump({"ready": True}))

    async def metadata(self, call: Call) -> Reply:
        hosted = await self._context.service.hosted(*_place(call))
        known = [
            one["version"] for one in self._context.service.index() if one["name"] == hosted.name
        ]
        spec = hosted.spec
        inputs = oip_tasks.described_inputs(spec.task.task)
        return Reply(
            body=dump(
                {
                    "name": hosted.name,
                    "versions": known,
                    "platform": "limbeck",
                    "inputs": [one.as_json() for one in inputs],
                    "outputs": [one.as_json() for one in oip_tasks.described_outputs(spec)],
                }
            )
        )

    async def model_ready(self, call: Call) -> Reply:
        service = self._context.service
        # To look at a model is not to use it: those that are probed are let go as others are.
        name, version = service.models.slot(*_place(call))
        [state] = [
            one["state"]
            for one in service.index()
            if one["name"] == name and one["version"] == version
        ]
        if state != "ready":
            raise RefusedError("unavailable", f"model {name!r} version {version!r} is {state}")
        return Reply(body=dump({"name": name, "ready": True}))

    async def infer(self, call: Call) -> Reply:
        header = call.headers.get(oip_binary.HEADER.lower())
        limits = self._context.settings.limits
        head, tail = oip_binary.split(call.body, header)
        body = fields.an_object(
            parse(head, depth=limits.json_depth), "the body", known=_FIELDS, required=("inputs",)
        )
        identity = body.get("id")
        if identity is not None:
            fields.a_string(identity, "id")
        options = dict(fields.parameters(body.get("parameters")))
        timeout_s, priority = _when(call, options, self._context)
        binary_default = fields.a_boolean(
            options.pop("binary_data_output", False), "the parameter 'binary_data_output'"
        )

        name, version = _place(call)
        hosted = await self._context.service.hosted(name, version)
        task = hosted.spec.task.task
        texts = oip_tensors.read_texts(
            body["inputs"], tail, known=oip_tasks.input_names(task), most_rows=limits.rows
        )
        offered = [one.name for one in oip_tasks.described_outputs(hosted.spec)]
        binary = _outputs(body.get("outputs"), offered, binary_default)
        answer = await ask(
            self._context,
            call,
            oip_tasks.rows_of(task, texts),
            model=name,
            version=version,
            task=task,
            options=oip_tasks.options_of(task, options, binary),
            timeout_s=timeout_s,
            priority=priority,
        )
        tensors = oip_tasks.tensors_of(
            answer.rows,
            answer.hosted.spec,
            binary,
            most_tokens=self._context.settings.queue.max_tokens,
        )
        # In the order in which they were asked for.
        order = list(binary)
        tensors.sort(key=lambda tensor: order.index(tensor.name))
        outputs, behind = oip_tensors.written(
            tensors, [name for name, is_binary in binary.items() if is_binary]
        )
        reply: dict[str, Any] = {
            "model_name": answer.hosted.name,
            "model_version": answer.hosted.version,
            "outputs": outputs,
        }
        if identity is not None:
            reply["id"] = identity
        written = dump(reply)
        if not any(binary.values()):
            return Reply(body=written)
        return Reply(
            body=written + behind,
            content_type="application/octet-stream",
            headers=((oip_binary.HEADER, str(len(written))),),
        )


def _place(call: Call) -> tuple[str, str | None]:
    """Name and version in the path.

    Raises:
        RefusedError: bad_request: no names; forbidden: the key is not for this model.
    """
    name = fields.a_name(call.path["name"], "model")
    version = call.path.get("version")
    if version is not None:
        fields.a_name(version, "version")
    # Asked here too, so that no key loads a model that it may not use.
    call.tenant.check(name)
    return name, version


def _when(call: Call, options: dict[str, Any], context: Context) -> tuple[float | None, int | None]:
    """Timeout in seconds and priority, taken out of the request's parameters.

    Raises:
        RefusedError: bad_request; also for a sequence, of which there are none.
    """
    for name in _SEQUENCES:
        if name in options:
            raise RefusedError(
                "bad_request", f"the parameter {name!r} is for sequences; models here keep no state"
            )
    # 0 is Triton's way to say that nothing is asked for.
    timeout_us = options.pop("timeout", None)
    timeout_s = fields.timeout_s(
        call,
        None if timeout_us == 0 and not isinstance(timeout_us, bool) else timeout_us,
        limits=context.settings.limits,
        where="the parameter 'timeout' (microseconds)",
        unit_s=1e-6,
    )
    level = fields.an_integer(
        options.pop("priority", 0), "the parameter 'priority'", lowest=0, highest=_LOWEST
    )
    return timeout_s, None if level == 0 else level - _HIGHEST


def _outputs(value: object, offered: list[str], binary_default: bool) -> dict[str, bool]:
    """Names of the outputs that are asked for, and whether each goes behind the JSON.

    Raises:
        RefusedError: bad_request.
    """
    if value is None or value == []:
        return dict.fromkeys(offered, binary_default)
    wanted: dict[str, bool] = {}
    for position, one in enumerate(fields.a_list(value, "outputs")):
        place = f"outputs[{position}]"
        output = fields.an_object(one, place, known=_OUTPUT_FIELDS, required=("name",))
        name = fields.a_string(output["name"], f"{place}.name")
        if name not in offered:
            raise RefusedError(
                "bad_request",
                f"the model has no output {fields.shown(name)}; {fields.nearest(name, offered)}",
            )
        if name in wanted:
            raise RefusedError("bad_request", f"the output {name!r} is asked for twice")
        parameters = fields.an_object(
            fields.parameters(output.get("parameters"), f"{place}.parameters"),
            f"{place}.parameters",
            known=_OUTPUT_PARAMETERS,
        )
        wanted[name] = fields.a_boolean(
            parameters.get("binary_data", binary_default), f"{place}.parameters.binary_data"
        )
    return wanted
