"""The model repository extension of the Open Inference Protocol: for the admin port."""

from __future__ import annotations

from typing import Any

from limbeck.serve.json_body import dump, parse
from limbeck.serve.protocols import fields
from limbeck.serve.protocols.base import Call, Context, Reply

# Triton's words for what becomes of a model.
_STATES = {
    "ready": "READY",
    "loading": "LOADING",
    "unloaded": "UNAVAILABLE",
    "failed": "UNAVAILABLE",
}


class Repository:
    """What is asked of the set of models."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def index(self, call: Call) -> Reply:
        body = self._body(call, known=("ready",))
        only_ready = fields.a_boolean(body.get("ready", False), "ready")
        listed = [
            {
                "name": one["name"],
                "version": one["version"],
                "state": _STATES[one["state"]],
                "reason": one["reason"],
            }
            for one in self._context.service.index()
        ]
        if only_ready:
            listed = [one for one in listed if one["state"] == "READY"]
        return Reply(body=dump(listed))

    async def load(self, call: Call) -> Reply:
        body = self._body(call, known=("parameters",))
        # Triton takes a configuration and files here; ours come from the server's own settings.
        fields.an_object(fields.parameters(body.get("parameters")), "parameters", known=())
        await self._context.service.load(fields.a_name(call.path["name"], "model"), None)
        return Reply(body=b"{}")

    async def unload(self, call: Call) -> Reply:
        body = self._body(call, known=("parameters",))
        parameters = fields.an_object(
            fields.parameters(body.get("parameters")), "parameters", known=("unload_dependents",)
        )
        # No model depends on another: there is nothing more to unload either way.
        fields.a_boolean(parameters.get("unload_dependents", False), "unload_dependents")
        await self._context.service.unload(fields.a_name(call.path["name"], "model"), None)
        return Reply(body=b"{}")

    def _body(self, call: Call, *, known: tuple[str, ...]) -> dict[str, Any]:
        """The body's object; an empty body is an empty one."""
        if not call.body:
            return {}
        value = parse(call.body, depth=self._context.settings.limits.json_depth)
        return fields.an_object(value, "the body", known=known)
