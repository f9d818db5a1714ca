"""`comfy.patcher_extension`: points of a model's work that packs wrap or listen to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class CallbacksMP:
    """Moments in the life of a patched model."""

    ON_CLONE = "on_clone"
    ON_LOAD = "on_load_after"
    ON_DETACH = "on_detach_after"
    ON_CLEANUP = "on_cleanup"
    ON_PRE_RUN = "on_pre_run"
    ON_PREPARE_STATE = "on_prepare_state"
    ON_APPLY_HOOKS = "on_apply_hooks"
    ON_REGISTER_ALL_HOOK_PATCHES = "on_register_all_hook_patches"
    ON_INJECT_MODEL = "on_inject_model"
    ON_EJECT_MODEL = "on_eject_model"


class WrappersMP:
    """Steps of the sampling that can be wrapped."""

    OUTER_SAMPLE = "outer_sample"
    PREPARE_SAMPLING = "prepare_sampling"
    SAMPLER_SAMPLE = "sampler_sample"
    PREDICT_NOISE = "predict_noise"
    CALC_COND_BATCH = "calc_cond_batch"
    APPLY_MODEL = "apply_model"
    DIFFUSION_MODEL = "diffusion_model"


Keyed = dict[str, dict[str | None, list[Callable[..., Any]]]]


class WrapperExecutor:
    """Calls a function through its wrappers, the first outermost; each gets the executor of the rest to call."""

    def __init__(
        self, original: Callable[..., Any], class_obj: Any, wrappers: list[Callable[..., Any]], idx: int
    ) -> None:
        self.original = original
        self.class_obj = class_obj
        self.wrappers = list(wrappers)
        self.idx = idx

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The rest of the way, for wrappers."""
        return WrapperExecutor(self.original, self.class_obj, self.wrappers, self.idx + 1).execute(*args, **kwargs)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """From here on inwards."""
        if self.idx >= len(self.wrappers):
            return self.original(*args, **kwargs)
        return self.wrappers[self.idx](self, *args, **kwargs)

    @classmethod
    def new_executor(
        cls, original: Callable[..., Any], wrappers: list[Callable[..., Any]], idx: int = 0
    ) -> WrapperExecutor:
        """An executor of a plain function."""
        return cls(original, None, wrappers, idx)

    @classmethod
    def new_class_executor(
        cls, original: Callable[..., Any], class_obj: Any, wrappers: list[Callable[..., Any]], idx: int = 0
    ) -> WrapperExecutor:
        """An executor of a method; wrappers find its object in `class_obj`."""
        return cls(original, class_obj, wrappers, idx)


class PatcherInjection:
    """What is put into a model before it runs, and how it is taken out."""

    def __init__(self, inject: Callable[[Any], None], eject: Callable[[Any], None]) -> None:
        self.inject = inject
        self.eject = eject


def add_wrapper(wrapper_type: str, wrapper: Callable[..., Any], transformer_options: dict[str, Any]) -> None:
    """Add a wrapper to options."""
    add_wrapper_with_key(wrapper_type, None, wrapper, transformer_options)


def add_wrapper_with_key(
    wrapper_type: str, key: str | None, wrapper: Callable[..., Any], options: dict[str, Any]
) -> None:
    """Add a wrapper under a key to options."""
    options.setdefault("wrappers", {}).setdefault(wrapper_type, {}).setdefault(key, []).append(wrapper)


def get_all_wrappers(wrapper_type: str, transformer_options: Mapping[str, Any]) -> list[Callable[..., Any]]:
    """All wrappers of a type in options."""
    return _all("wrappers", wrapper_type, transformer_options)


def get_all_callbacks(call_type: str, transformer_options: Mapping[str, Any]) -> list[Callable[..., Any]]:
    """All callbacks of a type in options."""
    return _all("callbacks", call_type, transformer_options)


def add_callback(call_type: str, callback: Callable[..., Any], transformer_options: dict[str, Any]) -> None:
    """Add a callback to options."""
    add_callback_with_key(call_type, None, callback, transformer_options)


def add_callback_with_key(
    call_type: str, key: str | None, callback: Callable[..., Any], options: dict[str, Any]
) -> None:
    """Add a callback under a key to options."""
    options.setdefault("callbacks", {}).setdefault(call_type, {}).setdefault(key, []).append(callback)


def _all(what: str, kind: str, options: Mapping[str, Any]) -> list[Callable[..., Any]]:
    keyed: Mapping[Any, list[Callable[..., Any]]] = options.get(what, {}).get(kind, {})
    return [each for group in keyed.values() for each in group]


def copy_nested_dicts(input_dict: Mapping[Any, Any]) -> dict[Any, Any]:
    """A copy whose dicts and lists are copies too; what they hold is shared."""
    return {key: _copied(value) for key, value in input_dict.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return copy_nested_dicts(value)  # pyright: ignore[reportUnknownArgumentType]
    return list(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]


def merge_nested_dicts(dict1: dict[Any, Any], dict2: Mapping[Any, Any], copy_dict1: bool = True) -> dict[Any, Any]:
    """Both together: dicts are merged, lists joined, and of other values the second wins."""
    merged = copy_nested_dicts(dict1) if copy_dict1 else dict1
    for key, value in dict2.items():
        there = merged.get(key)
        if isinstance(value, dict):
            merged[key] = merge_nested_dicts(there if isinstance(there, dict) else {}, value, True)  # pyright: ignore
        elif isinstance(value, list):
            merged[key] = (there if isinstance(there, list) else []) + value  # pyright: ignore
        else:
            merged[key] = value
    return merged
