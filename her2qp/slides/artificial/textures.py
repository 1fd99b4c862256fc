"""Periodic textures: collagen fibres and grain, made once a slide and laid under every block without seams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

PERIOD = 2048
"""Side of a texture in pixels; it repeats beyond."""


@dataclass(frozen=True, slots=True)
class Texture:
    """A texture that repeats every `PERIOD` pixels.

    Parameters
    ----------
    values
        Shape (PERIOD, PERIOD), uint8, mean about 128.
    """

    values: NDArray[np.uint8]

    def crop(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """The part that begins at slide pixel (x, y), shape (height, width)."""
        rows = np.arange(y, y + height) % PERIOD
        columns = np.arange(x, x + width) % PERIOD
        return self.values[rows[:, None], columns[None, :]]


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], sigma: float | tuple[float, float]
) -> NDArray[np.float32]:
    """Gaussian noise smoothed with wrap-around by `sigma` pixels (down, across): zero mean, unit variance, float32."""
    spectrum = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    down, across = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    spectrum *= np.exp(-2 * (np.pi * down * fft.fftfreq(shape[0])) ** 2).astype(np.float32)[:, None]
    spectrum *= np.exp(-2 * (np.pi * across * fft.rfftfreq(shape[1])) ** 2).astype(np.float32)
    spectrum[0, 0] = 0.0
    noise: NDArray[np.float32] = fft.irfft2(spectrum, shape)
    noise /= noise.std()
    return noise


def _to_bytes(noise: NDArray[np.float32], spread: float) -> NDArray[np.uint8]:
    return (128.0 + spread * noise).clip(0, 255).astype(np.uint8)


def grain(rng: np.random.Generator, sigma: float, spread: float) -> Texture:
    """Structureless grain with spots of about `sigma` pixels and a standard deviation of `spread`."""
    return Texture(_to_bytes(smooth_noise(rng, (PERIOD, PERIOD), sigma), spread))


@dataclass(frozen=True, slots=True)
class Fibres:
    """Wavy collagen bundles.

    Parameters
    ----------
    texture
        Density of the fibres; low values are the gaps between bundles.
    angles
        Direction of the fibres in radians (image axes, y down) on a grid of `angle_step` pixels.
    angle_step
        Pixels of the texture per element of `angles`.
    """

    texture: Texture
    angles: NDArray[np.float32]
    angle_step: int

    def angle_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
        """Fibre direction at slide pixels, shape (n,), radians."""
        side = len(self.angles)
        rows, columns = ((axis // self.angle_step).astype(int) % side for axis in (y, x))
        return np.asarray(self.angles[rows, columns])


def fibres(rng: np.random.Generator, px_per_um: float) -> Fibres:
    """Draw collagen: noise stretched along x, bent by a smooth displacement of its rows."""
    scale = 4.0 / px_per_um
    coarse = PERIOD // 8
    bend = smooth_noise(rng, (coarse, coarse), 30.0 / scale) * 75.0 / scale
    slope_y, slope_x = np.gradient(np.pad(bend, 1, mode="wrap"), 8.0)
    angles = np.arctan2(-slope_x, np.maximum(1.0 + slope_y, 0.2))[1:-1, 1:-1].astype(np.float32)

    shape = (PERIOD, PERIOD)
    fine = smooth_noise(rng, shape, (0.9 / scale, 13.0 / scale))
    bundles = smooth_noise(rng, shape, (3.6 / scale, 30.0 / scale))
    straight = 0.5 * fine + 0.7 * bundles + 0.4 * smooth_noise(rng, shape, 0.9 / scale)
    shift = ndimage.zoom(bend, 8, order=1, mode="grid-wrap", grid_mode=True)
    rows, columns = np.meshgrid(np.arange(PERIOD, dtype=np.float32), np.arange(PERIOD, dtype=np.float32), indexing="ij")
    bent = ndimage.map_coordinates(straight, [rows + shift, columns], order=1, mode="grid-wrap")
    if rng.random() < 0.5:
        bent, angles = bent.T, np.pi / 2 - angles.T
    return Fibres(Texture(_to_bytes(bent, 40.0)), angles, 8)
