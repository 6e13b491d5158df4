"""All models of a server by name and version: loaded at start or when first asked for, switched
while requests are on their way, let go when there are too many.

Lives in the event loop. Loading happens in one thread, one model at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from limbeck.serve.models.hosted import Hosted
from limbeck.serve.models.loader import LoadModel, explain, host
from limbeck.serve.refused import RefusedError
from limbeck.serve.settings import ModelSettings, Settings
from limbeck.serve.yielding import give_way

_log = logging.getLogger("limbeck.serve.models")

State = Literal["unloaded", "loading", "ready", "failed"]


@dataclass(slots=True, eq=False)
class _Slot:
    """One version of one model, loaded or not. error: why the last try to load failed."""

    settings: ModelSettings
    hosted: Hosted | None = None
    loading: asyncio.Task[Hosted] | None = None
    error: str | None = None

    @property
    def state(self) -> State:
        if self.hosted is not None:
            return "ready"
        if self.loading is not None:
            return "loading"
        return "unloaded" if self.error is None else "failed"


@dataclass(slots=True)
class _Table:
    """What requests look models up in; replaced as a whole by a reload."""

    slots: dict[tuple[str, str], _Slot] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    default_model: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> _Table:
        table = cls(default_model=settings.default_model)
        for model in settings.models:
            table.slots[model.name, model.version] = _Slot(model)
            known = table.defaults.get(model.name)
            chosen = known is not None and table.slots[model.name, known].settings.default
            if not chosen or model.default:
                table.defaults[model.name] = model.version
        if table.default_model is None and settings.models:
            table.default_model = settings.models[0].name
        return table


class Models:
    """See the module. Made and used in one event loop."""

    def __init__(
        self,
        settings: Settings,
        loading: LoadModel,
        *,
        on_reload: Callable[[bool], None] = lambda ok: None,
    ) -> None:
        """Args: loading: settings -> a loaded model. on_reload: told how each reload ended."""
        self._settings = settings
        self._loading = loading
        self._on_reload = on_reload
        self._table = _Table.of(settings)
        self._generation = 0
        self._clock = asyncio.get_running_loop().time
        # The engine's own threads are made at its first batch, here, and are as this one is.
        self._thread = ThreadPoolExecutor(
            1, thread_name_prefix="limbeck-load", initializer=give_way
        )
        self._reloading = asyncio.Lock()

    # Looking up.

    def slot(self, name: str | None, version: str | None) -> tuple[str, str]:
        """Name and version of what a request asks for.

        Raises:
            RefusedError: not_found.
        """
        table = self._table
        if name is None:
            name = table.default_model
            if name is None:
                raise RefusedError("not_found", "no model is configured")
        if version is None:
            version = table.defaults.get(name)
            if version is None:
                raise RefusedError("not_found", f"there is no model {name!r}")
        elif (name, version) not in table.slots:
            known = [v for n, v in table.slots if n == name]
            raise RefusedError(
                "not_found",
                f"model {name!r} has no version {version!r}; it has {', '.join(known)}"
                if known
                else f"there is no model {name!r}",
            )
        return name, version

    def settings(self, name: str | None = None, version: str | None = None) -> ModelSettings:
        """What is configured for a model, loaded or not.

        Raises:
            RefusedError: not_found.
        """
        return self._table.slots[self.slot(name, version)].settings

    def ready(self, name: str | None = None, version: str | None = None) -> Hosted | None:
        """The model if it is loaded, None if it has to be loaded first.

        Raises:
            RefusedError: not_found.
        """
        hosted = self._table.slots[self.slot(name, version)].hosted
        if hosted is not None:
            hosted.used_s = self._clock()
        return hosted

    async def get(self, name: str | None = None, version: str | None = None) -> Hosted:
        """The model, loaded if need be; all who ask meanwhile wait for the same loading.

        Raises:
            RefusedError: not_found; unavailable where it cannot be loaded.
        """
        hosted = self.ready(name, version)
        if hosted is not None:
            return hosted
        slot = self._table.slots[self.slot(name, version)]
        try:
            # Whoever leaves does not stop the loading, which others may wait for.
            hosted = await asyncio.shield(self._load(slot))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise RefusedError(
                "unavailable",
                f"model {slot.settings.name!r} cannot be loaded: {explain(error)}",
                retry_after_s=5.0,
            ) from None
        hosted.used_s = self._clock()
        return hosted

    def loaded(self) -> list[Hosted]:
        """All that are loaded now."""
        return [slot.hosted for slot in self._table.slots.values() if slot.hosted is not None]

    def not_ready(self) -> list[str]:
        """Why the server is not ready: required models that are not loaded, and the reasons."""
        return [
            f"model {name} version {version} is {slot.state}"
            + (f": {slot.error}" if slot.error else "")
            for (name, version), slot in self._table.slots.items()
            if slot.hosted is None and slot.settings.required and slot.settings.preload
        ]

    def index(self) -> list[dict[str, Any]]:
        """Every version of every model, as plain JSON values."""
        return [
            {
                "name": name,
                "version": version,
                "default": self._table.defaults[name] == version,
                "state": slot.state,
                "reason": slot.error or "",
                "path": slot.settings.path,
                "digest": slot.hosted.digest if slot.hosted else slot.settings.digest,
                "size_bytes": slot.hosted.size_bytes if slot.hosted else None,
                "in_flight": slot.hosted.in_flight if slot.hosted else 0,
                "generation": slot.hosted.generation if slot.hosted else None,
            }
            for (name, version), slot in self._table.slots.items()
        ]

    @property
    def default_model(self) -> str | None:
        """The name of the model that answers where none is named."""
        return self._table.default_model

    # Loading and letting go.

    async def start(self) -> None:
        """Load what is to be loaded at start.

        Raises:
            LimbeckError: a required model cannot be loaded; others are noted and left out.
        """
        for slot in list(self._table.slots.values()):
            if not slot.settings.preload:
                continue
            try:
                await self._load(slot)
            except Exception:
                if slot.settings.required:
                    raise

    def _load(self, slot: _Slot) -> asyncio.Task[Hosted]:
        if slot.loading is None:
            slot.loading = asyncio.create_task(self._loaded(slot))
            # A failure is kept in the slot; nobody may be left to fetch it from the task.
            slot.loading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return slot.loading

    async def _loaded(self, slot: _Slot) -> Hosted:
        try:
            hosted = await self._host(slot.settings)
        except Exception as error:
            slot.error = explain(error)
            _log.error(
                "cannot load model %s version %s: %s",
                slot.settings.name,
                slot.settings.version,
                slot.error,
            )
            raise
        else:
            slot.hosted, slot.error = hosted, None
            self._let_go(keep=slot)
            return hosted
        finally:
            slot.loading = None

    async def _host(self, settings: ModelSettings) -> Hosted:
        self._generation += 1
        generation = self._generation
        loop = asyncio.get_running_loop()
        hosted = await loop.run_in_executor(
            self._thread,
            lambda: host(settings, self._loading, self._settings.breaker, generation=generation),
        )
        hosted.used_s = self._clock()
        return hosted

    def _let_go(self, keep: _Slot | None = None) -> None:
        """Drop the longest unused models until the rest fits the bound in bytes.

        Requests on their way keep theirs until they are answered.
        """
        bound = self._settings.models_bytes
        if bound is None:
            return
        slots = [slot for slot in self._table.slots.values() if slot.hosted is not None]
        total = sum(slot.hosted.size_bytes for slot in slots if slot.hosted)
        for slot in sorted(slots, key=lambda slot: slot.hosted.used_s if slot.hosted else 0.0):
            if total <= bound:
                return
            if slot is keep or slot.hosted is None:
                continue
            total -= slot.hosted.size_bytes
            _log.info("let go of model %s version %s", slot.settings.name, slot.settings.version)
            slot.hosted = None

    async def load(self, name: str, version: str | None = None) -> Hosted:
        """Load, or load anew; the one that is there answers until the new one is warm.

        Raises:
            RefusedError: not_found; unavailable where it cannot be loaded: the old one stays.
        """
        slot = self._table.slots[self.slot(name, version)]
        try:
            return await asyncio.shield(self._load(slot))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise RefusedError("unavailable", explain(error)) from None

    async def unload(self, name: str, version: str | None = None) -> None:
        """Let go of a model; requests on their way are still answered by it. It is loaded again
        when one asks for it.

        Raises:
            RefusedError: not_found.
        """
        slot = self._table.slots[self.slot(name, version)]
        if slot.loading is not None:
            await asyncio.wait([slot.loading])
        slot.hosted, slot.error = None, None

    async def reload(self, settings: Settings | None = None, *, anew: bool = False) -> None:
        """Take over other settings, or look whether the files have changed; all or nothing.

        Everything that was loaded or is to be preloaded is made ready first, then the table is
        replaced at once. anew: load also what has not changed.

        Raises:
            Exception: what cannot be loaded; everything stays as it was.
        """
        async with self._reloading:
            try:
                await self._reload(settings or self._settings, anew)
            except BaseException:
                self._on_reload(False)
                raise
            self._on_reload(True)

    async def _reload(self, settings: Settings, anew: bool) -> None:
        table = _Table.of(settings)
        for place, slot in table.slots.items():
            old = self._table.slots.get(place)
            if old is not None and old.loading is not None:
                await asyncio.wait([old.loading])
            was_loaded = old is not None and old.hosted is not None
            if not was_loaded and not slot.settings.preload:
                continue
            fresh = await self._host(slot.settings)
            if (
                old is not None
                and old.hosted is not None
                and not anew
                and old.settings == slot.settings
                and old.hosted.digest == fresh.digest
            ):
                slot.hosted = old.hosted
                continue
            slot.hosted = fresh
            _log.info("model %s version %s is loaded anew", *place)
        self._settings, self._table = settings, table
        self._let_go()

    def close(self) -> None:
        """Let go of everything. What is being loaded is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        for slot in self._table.slots.values():
            slot.hosted = None
