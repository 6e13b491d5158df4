"""Settings from a file, the environment and the command line; the later one wins."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from limbeck.errors import InputError
from limbeck.serve.settings import Settings

PREFIX = "LIMBECK_SERVE_"


class _Environment(Settings, BaseSettings):
    """Only read by: the fields of `Settings`, as pydantic-settings finds them in variables."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )


def load_settings(
    path: Path | None, *, overrides: Mapping[str, Any], environ: Mapping[str, str]
) -> Settings:
    """The settings of a server.

    Args:
        path: a TOML file, None for none; relative paths of models in it start where it lies.
        overrides: from the command line, nested as in the file.
        environ: LIMBECK_SERVE_SECTION__FIELD.

    Raises:
        InputError: names the source, the key, and what it may be.
    """
    table: dict[str, Any] = {}
    name = "the command line"
    if path is not None:
        name = str(path)
        table = _file(path)
        _check(table, Settings, name, ())
    environment = _environment(environ)
    for source in (environment, overrides):
        table = _merged(table, source)
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        raise _explained(error, table, name, environment, overrides) from None
    _whole(settings, name)
    return settings


def _file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the configuration {path}: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML: {error}") from None
    for model in table.get("models", ()) if isinstance(table.get("models"), list) else ():
        if isinstance(model, dict) and isinstance(model.get("path"), str):
            beside = path.parent / model["path"]
            # A name that is no path here is left for the hub.
            if beside.exists():
                model["path"] = str(beside)
    cache = table.get("cache")
    if isinstance(cache, dict) and isinstance(cache.get("preload"), list):
        cache["preload"] = [
            str(path.parent / one) if isinstance(one, str) else one for one in cache["preload"]
        ]
    return table


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What variables say, nested as in the file.

    Raises:
        InputError: a variable that means nothing, or a value that is no JSON where it must be.
    """
    ours = {key: value for key, value in environ.items() if key.upper().startswith(PREFIX)}
    if not ours:
        return {}
    source = EnvSettingsSource(_Environment, env_ignore_empty=False)
    source.env_vars = {key.lower(): value for key, value in ours.items()}
    try:
        found = source()
    except SettingsError as error:
        raise InputError(
            f"the environment: {error}; lists and tables are written in JSON"
        ) from None
    for key in ours:
        way = key[len(PREFIX) :].lower().split("__")
        _check_way(way, key)
    return dict(found)


def _check_way(way: list[str], key: str) -> None:
    """Whether a variable names a setting."""
    kind: Any = Settings
    for step in way:
        if kind is None:
            return
        if step not in kind.model_fields:
            raise InputError(
                f"the environment variable {key} is no setting{nearest(step, kind.model_fields)}"
            )
        kind = _section(kind.model_fields[step].annotation)


def _merged(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation holds: itself, or one of X | None, tuple[X, ...], dict."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _section(one))), None)


def _check(table: Any, kind: type[BaseModel], name: str, place: tuple[str, ...]) -> None:
    """Refuse unknown keys, all the way down, with the nearest known one."""
    if not isinstance(table, Mapping):
        return  # of the wrong type, which the validation says better
    for key, value in table.items():
        if key not in kind.model_fields:
            where = f"[{'.'.join(place)}] of {name}" if place else name
            raise InputError(f"{where} has no key {key!r}{nearest(key, kind.model_fields)}")
        inner = _section(kind.model_fields[key].annotation)
        if inner is None:
            continue
        if isinstance(value, list):
            for index, one in enumerate(value):
                _check(one, inner, name, (*place, f"{key}[{index}]"))
        elif key == "attributes" and isinstance(value, Mapping):
            for attribute, one in value.items():
                _check(one, inner, name, (*place, key, attribute))
        else:
            _check(value, inner, name, (*place, key))


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?" with the nearest known name, or the list of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"


def _explained(
    error: ValidationError,
    table: Mapping[str, Any],
    name: str,
    environment: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> InputError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    way = first["loc"]
    source = name
    if _holds(overrides, way):
        source = "the command line"
    elif _holds(environment, way):
        variable = PREFIX + "__".join(str(step) for step in way).upper()
        source = f"the environment ({variable})"
    place = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in way).lstrip(".")
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if place.endswith("sha256"):
        message += "; limbeck serve --new-key NAME makes a key and its hash"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InputError(f"{source}: {place}: {message}{more}")


def _holds(source: Any, way: tuple[int | str, ...]) -> bool:
    for step in way:
        try:
            source = source[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _whole(settings: Settings, name: str) -> None:
    """What no field can see by itself.

    Raises:
        InputError: what does not go together.
    """
    versions: set[tuple[str, str]] = set()
    defaults: set[str] = set()
    for model in settings.models:
        if (model.name, model.version) in versions:
            raise InputError(
                f"{name}: model {model.name!r} has version {model.version!r} twice; "
                "give one of them another version"
            )
        versions.add((model.name, model.version))
        if model.default and model.name in defaults:
            raise InputError(f"{name}: model {model.name!r} has two versions with default = true")
        defaults |= {model.name} if model.default else set()
    names = {model.name for model in settings.models}
    _known(settings.default_model, names, f"{name}: default_model")
    for model in settings.models:
        _placed(model.fallback, versions, f"{name}: fallback of model {model.name!r}")
    for attribute, chosen in settings.decision.attributes.items():
        _placed(chosen.model, versions, f"{name}: decision.attributes.{attribute}.model")
    twice = {key.name for key in settings.keys}
    if len(twice) < len(settings.keys):
        raise InputError(f"{name}: two keys have the same name; each needs its own")
    if len({key.sha256 for key in settings.keys}) < len(settings.keys):
        raise InputError(f"{name}: two names have the same key; each needs its own")
    for key in settings.keys:
        for model_name in key.models or ():
            _known(model_name, names, f"{name}: models of key {key.name!r}")


def _placed(wanted: str | None, versions: set[tuple[str, str]], where: str) -> None:
    """Raises InputError for a name, or name/version, that no model has."""
    if wanted is None:
        return
    model, _, version = wanted.partition("/")
    _known(model, {name for name, _ in versions}, where)
    if version and (model, version) not in versions:
        raise InputError(f"{where}: model {model!r} has no version {version!r}")


def _known(wanted: str | None, names: set[str], where: str) -> None:
    if wanted is not None and wanted not in names:
        raise InputError(f"{where}: there is no model {wanted!r}{nearest(wanted, names)}")
