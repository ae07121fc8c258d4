"""Describes the machine, its versions and its settings, on which the figures depend."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import importlib.util
import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

_PACKAGES = (
    "dimtyped",
    "torch",
    "jaxtyping",
    "beartype",
    "typeguard",
    "dltype",
    "check-shapes",
    "torchtyping",
    "torchshapeflow",
    "torchtyc",
)


def label(device: torch.device) -> str:
    """A name for a file, such as `x86_64-2core`; never the host's."""
    words = [platform.machine().lower(), f"{os.cpu_count()}core"]
    if device.type == "cuda":
        words.append(torch.cuda.get_device_name(device))
    return re.sub(r"[^a-z0-9_]+", "-", "-".join(words).lower()).strip("-")


def conditions(device: torch.device) -> dict[str, Any]:
    """Date, versions, threads and load: noted with each question, so that one can be asked anew by itself."""
    found: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def versions() -> dict[str, str]:
    """The versions of the library, of torch and of every peer that is installed."""
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["torch"] = torch.__version__  # which distinguishes a CPU's build from a GPU's; the package's version may not
    return found


def installed(*modules: str) -> bool:
    """True if all of these modules can be imported."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def _processor() -> str:
    """The processor with its family and model: a virtual machine's name says only `AMD EPYC`, whichever it is."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^([^\t:]+)\s*:[ \t]*(.*)$", info.read_text(encoding="utf-8"), re.MULTILINE))
    name = fields.get("model name", "").strip() or platform.machine()
    kind = [f"{word} {fields[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if fields.get(key)]
    return f"{name} ({', '.join(kind)})" if kind else name
