"""A real QuPath shows the same pixels through its cropped, rotated, flipped and reordered images as we do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from her2qp.qupath.serverview import slide_view
from her2qp.slides import check_size, open_slide

REGIONS = ((0, 0, 512, 400), (101, 63, 333, 257), (150, 300, 257, 256))

RENDER = """
import json, sys
import paquo.java as java
from jpype import JString
java.LogManager.setWarn()
java.JClass("qupath.lib.images.servers.openslide.jna.OpenSlideLoader").tryToLoadQuietly()
slide, regions, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
Servers, Builder = (java.JClass("qupath.lib.images.servers." + n) for n in ("ImageServers", "TransformedServerBuilder"))
Rotation = java.JClass("qupath.lib.images.servers.RotatedImageServer$Rotation")
Region, Request = (java.JClass("qupath.lib.regions." + name) for name in ("ImageRegion", "RegionRequest"))
Gson, File = java.JClass("qupath.lib.io.GsonTools"), java.JClass("java.io.File")
base = Servers.buildServer(File(slide).toURI(), [])
crop = lambda server, *sides: Builder(server).crop(Region.createInstance(*sides, 0, 0)).build()
turn = lambda server, name: Builder(server).rotate(getattr(Rotation, name)).build()
servers = {
    "crop": crop(base, 301, 205, 1403, 1102),
    **{name: turn(base, name) for name in ("ROTATE_90", "ROTATE_180", "ROTATE_270")},
    "crop of a turn": crop(turn(base, "ROTATE_90"), 101, 55, 900, 1700),
    "turn of a crop": turn(crop(base, 301, 205, 1403, 1102), "ROTATE_270"),
    "order": Builder(base).reorderRGB("BRG").build(),
    "pyramid": Servers.pyramidalize(base, 1.0, 4.0),
}
try:
    Flip = java.JClass("qupath.lib.images.servers.FlippedImageServer$Flip")
except TypeError:
    Flip = None
if Flip is not None:
    servers["flip"] = Builder(servers["crop of a turn"]).flip(Flip.HORIZONTAL).build()
    servers["flip down"] = Builder(base).flip(Flip.VERTICAL).build()
builders = {}
for name, server in servers.items():
    kind = java.JClass("qupath.lib.images.servers.ImageServerBuilder$ServerBuilder")
    builders[name] = json.loads(str(Gson.getInstance().toJson(server.getBuilder(), kind.class_)))
    for number, region in enumerate(regions):
        image = server.readRegion(Request.createInstance(server.getPath(), 1.0, *region))
        java.JClass("javax.imageio.ImageIO").write(image, "PNG", File(f"{out}/{name} {number}.png"))
with open(f"{out}/builders.json", "w") as file:
    json.dump(builders, file)
"""


@pytest.mark.qupath
@pytest.mark.long
@pytest.mark.usefixtures("qupath_dir")
def test_views_show_what_qupath_shows(shared: Path, tmp_path: Path) -> None:
    slide = shared / "data" / "wsi" / "CMU-1-Small-Region.svs"
    subprocess.run(
        [sys.executable, "-c", RENDER, str(slide), json.dumps(REGIONS), str(tmp_path)],
        stdout=subprocess.DEVNULL, timeout=300, check=True,
    )  # fmt: skip
    builders: dict[str, Any] = json.loads((tmp_path / "builders.json").read_text(encoding="utf-8"))
    assert len(builders) >= 8
    for name, builder in builders.items():
        with open_slide(slide, slide_view(builder)) as shown:
            size = builder["metadata"]["width"], builder["metadata"]["height"]
            check_size(shown, size, where=name)
            for number, region in enumerate(REGIONS):
                theirs = np.asarray(Image.open(tmp_path / f"{name} {number}.png").convert("RGB"))
                ours = shown.read_region(*region, region[2:])
                np.testing.assert_array_equal(ours, theirs, err_msg=f"{name}, {region}")
