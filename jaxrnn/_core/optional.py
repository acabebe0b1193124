"""Packages that load when used; their absence names the extra that brings them."""

from __future__ import annotations

import importlib
from typing import Any


def optional(module: str, extra: str, what: str) -> Any:
    """The module, or an ImportError that says what wanted it and how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'{what} needs {module}: pip install "jaxrnn[{extra}]"') from error
