"""Signs of a collapse in alphas and Hessian, and R-DARTS' rule to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....spaces import Config
from ....spaces.cell import NONE
from ....spaces.relaxation import Relaxation

WINDOW = 5
RATIO = 0.75
"""R-DARTS: smoothed over so many epochs, the eigenvalue has risen when that of so many epochs ago
is below this share of today's."""

SHARE = 0.5
"""An architecture with more skips and missing edges than this share has collapsed."""


@dataclass(frozen=True)
class Collapse:
    """The signs of a collapse.

    Attributes:
        skips, missing: Skip connections and "none" among an architecture's decisions.
        decisions: How many there are.
        eigenvalue_rose: Whether R-DARTS' rule would have stopped the search.
    """

    skips: int
    missing: int
    decisions: int
    eigenvalue_rose: bool

    @property
    def collapsed(self) -> bool:
        """Whether skips and missing edges are more than the share that counts as a collapse."""
        return self.skips + self.missing > SHARE * self.decisions

    def __str__(self) -> str:
        verdict = "collapsed" if self.collapsed else "no collapse"
        rose = ", the Hessian's eigenvalue rose" if self.eigenvalue_rose else ""
        return (
            f"{verdict}: {self.skips} skips and {self.missing} missing edges among "
            f"{self.decisions} decisions{rose}"
        )


def diagnose(relaxation: Relaxation, config: Config, eigenvalues: Sequence[float]) -> Collapse:
    """Diagnose a derived architecture, given the eigenvalues of the search by epoch."""
    picks = relaxation.picks(config)
    missing = sum(option == NONE for _, option in picks)
    rose = rises(eigenvalues) is not None
    return Collapse(len(relaxation.skips(config)), missing, len(picks), rose)


def rises(eigenvalues: Sequence[float]) -> int | None:
    """The epoch to go back to when the smoothed eigenvalue has risen, counted from 0, or ``None``.

    Source: Zela et al., *R-DARTS*, ICLR 2020, section 4.3.
    """
    if len(eigenvalues) < 2 * WINDOW:
        return None
    smooth = np.convolve(np.abs(eigenvalues), np.ones(WINDOW) / WINDOW, mode="valid")
    for now in range(WINDOW, len(smooth)):
        if smooth[now] > 0 and smooth[now - WINDOW] / smooth[now] < RATIO:
            return now - 1  # the end of the window that ended WINDOW epochs ago
    return None
