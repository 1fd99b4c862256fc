"""Score a project from Python and look at the result.

    python examples/score_project.py demo/project

The first call of a lab's own pipeline may look like this; everything it uses is public.
"""

from __future__ import annotations

import sys

import numpy as np

import her2qp


def main(project: str) -> None:
    """Score, then read the tiles back as arrays."""
    result = her2qp.score(project)
    print(f"run {result.run}, model {result.model}: {result.notice}")
    for outcome in result.outcomes:
        print(f"{outcome.name}: {outcome.status} {outcome.reason}")
        for region in outcome.score.regions if outcome.score else ():
            shown = ", ".join(f"{p:.2f}" for p in region.probabilities)
            print(f"  region {region.region.parent_id}: {region.tiles} tiles, p(0, 1+, 2+, 3+) = {shown}")

    with her2qp.open_project(project) as opened:
        for image in opened.images:
            tiles = image.tiles()
            if len(tiles):
                best = int(np.argmax(tiles.column("HER2 attention")))
                x0, y0, x1, y1 = tiles.bounds[best]
                print(f"{image.name}: most attention at x {x0:.0f} to {x1:.0f}, y {y0:.0f} to {y1:.0f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo/project")
