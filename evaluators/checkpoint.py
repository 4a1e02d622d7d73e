"""Checkpoints of long trainings: written atomically, and only read by the run that wrote them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ..common.errors import StudyError, reason_of

IDENTITY = "identity"


def save_checkpoint(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Write a state; a kill leaves the old file or the new one, never half of one.

    Args:
        path: Its folder is made where it is missing.
        identity: What two runs must share to be one, as plain values.
        state: Tensors and plain values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_suffix(".making")
    torch.save({IDENTITY: identity, **state}, making)
    os.replace(making, path)


def load_checkpoint(
    path: Path, identity: dict[str, Any], device: torch.device | None = None
) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote.

    Args:
        path: The file.
        identity: That of the run which wants to go on.
        device: To which its tensors are moved; by default where they were.

    Raises:
        StudyError: The file cannot be read, or is of another run.
    """
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:  # torch raises many kinds for a file that it did not write
        raise StudyError(
            f"cannot read the checkpoint {str(path)!r} ({reason_of(error)}): delete it to "
            "begin anew"
        ) from error
    if saved.get(IDENTITY) != identity:
        raise StudyError(
            f"the checkpoint {str(path)!r} is of another search or training (settings, seed, "
            "space, network or data differ): delete it or give the study another name"
        )
    return saved
