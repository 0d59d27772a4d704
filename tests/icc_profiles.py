"""Small ICC profiles, made from their published numbers, and what their colours are in sRGB by the formulae."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


class Space(NamedTuple):
    """Colours of the primaries as XYZ under D50 (one per column), and the exponent of the tone curve."""

    to_xyz: np.ndarray
    gamma: float


PROPHOTO = Space(np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82510]]), 1.8)
ADOBE = Space(
    np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]), 563 / 256
)
P3 = Space(np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]), 2.2)


def rgb_profile(space: Space) -> bytes:
    """A display profile of three primaries and one tone curve."""
    primaries = {tag: _xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), space.to_xyz.T, strict=True)}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(space.gamma))
    return _profile(b"mntr", b"RGB ", b"XYZ ", primaries | curves)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey levels with one tone curve."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile() -> bytes:
    """A printer on which ink alone takes light away: L* falls from 100 without ink to 0 with black, a* and b* are 0."""
    corners = np.indices((2, 2, 2, 2)).reshape(4, -1).T
    lightness = np.where(corners[:, 3] == 1, 0, 255 - corners[:, :3].sum(axis=1) * 60)
    table = np.stack([lightness, np.full(16, 128), np.full(16, 128)], axis=1).astype(np.uint8).tobytes()
    identity = struct.pack(">9i", *(65536 * np.eye(3)).astype(int).ravel())
    straight = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + straight * 4 + table + straight * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def in_srgb(pixels: np.ndarray, space: Space) -> np.ndarray:
    """uint8 colours (…,3) of a space as float sRGB levels from 0 to 255; those outside sRGB are clipped."""
    linear = (pixels / 255) ** space.gamma @ space.to_xyz.T @ np.linalg.inv(SRGB_TO_XYZ).T
    clipped = linear.clip(0, 1)
    return 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


def grey_in_srgb(levels: np.ndarray, gamma: float) -> np.ndarray:
    """uint8 grey levels as float sRGB levels."""
    linear = (levels / 255) ** gamma
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _profile(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _description("test"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz((0.9642, 1, 0.8249))} | tags
    table, content, start = b"", b"", 132 + 12 * len(tags)
    for tag, data in tags.items():
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", start + len(content), len(data))
        content += data
    header = struct.pack(">4xI", 0x02400000) + device + space + connection + struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    header += b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    body = header.ljust(124, b"\0") + struct.pack(">I", len(tags)) + table + content
    return struct.pack(">I", len(body) + 4) + body


def _xyz(values: object) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _description(text: str) -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text.encode() + b"\0" + bytes(12 + 67)
