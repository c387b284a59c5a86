"""Merging two cloud-configs, as users of overlays expect it."""

from collections.abc import Mapping
from typing import Any


def merge_cloud_config(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings merge, lists append, and of single values that of `over` wins."""
    merged = dict(base)
    for key, value in over.items():
        merged[key] = _merge_value(merged[key], value) if key in merged else value
    return merged


def _merge_value(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return merge_cloud_config(base, over)
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    return over
