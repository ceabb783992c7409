"""The demonstration of the README: a picture of the Mandelbrot set, drawn by plain Python loops.

`python bench/demo.py` draws it in two fresh processes, interpreted and with JITCORE=1, checks that both
pictures are the same to the byte, saves it as a PNG file and prints both times and what jitcore compiled. The
program that is timed (`draw`) knows nothing of jitcore. Times are of drawing only; the JIT's include all
recording and compiling.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import zlib


def escape_time(cx: float, cy: float, limit: int) -> int:
    """Rounds of z = z*z + c before z leaves the circle of radius 2; `limit` if it stays."""
    x = y = 0.0
    for count in range(limit):
        xx = x * x
        yy = y * y
        if xx + yy > 4.0:
            return count
        y = 2.0 * x * y + cy
        x = xx - yy + cx
    return limit


def draw(width: int, height: int, limit: int) -> list[int]:
    """The picture as width * height * 3 colour values, rows from the top."""
    pixels = []
    for row in range(height):
        cy = (row - height / 2) * 2.5 / height
        for column in range(width):
            cx = (column - width / 2) * 2.5 / height - 0.6
            count = escape_time(cx, cy, limit)
            if count == limit:
                pixels.append(0)
                pixels.append(0)
                pixels.append(0)
            else:
                shade = count * 255 // limit
                pixels.append((count * 9) & 255)
                pixels.append((count * 5 + 40) & 255)
                pixels.append(255 - shade)
    return pixels


def png(width: int, height: int, pixels: bytes) -> bytes:
    """The bytes of a PNG file (8 bits a channel, RGB, no row filters)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[y * width * 3 : (y + 1) * width * 3] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def worker(width: int, height: int, limit: int, path: str) -> None:
    """What each fresh process does: draw, save, print the seconds that drawing took."""
    started = time.perf_counter()
    pixels = draw(width, height, limit)
    seconds = time.perf_counter() - started
    pathlib.Path(path).write_bytes(png(width, height, bytes(pixels)))
    print(seconds)


def in_fresh_process(size: list[str], path: str, jit: bool) -> tuple[float, str]:
    """(seconds of drawing, what was printed to stderr)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JITCORE")}
    if jit:
        environment |= {"JITCORE": "1", "JITCORE_STATS": "1"}
    done = subprocess.run(
        [sys.executable, os.path.abspath(__file__), "--worker", path, *size],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"the {'JIT' if jit else 'plain'} run failed:\n{done.stderr}")
    return float(done.stdout), done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the Mandelbrot set with and without jitcore.")
    parser.add_argument("--width", type=int, default=960)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--limit", type=int, default=300, help="most rounds per point")
    parser.add_argument("--output", default="mandelbrot.png")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        worker(chosen.width, chosen.height, chosen.limit, chosen.worker)
        return 0
    size = [f"--width={chosen.width}", f"--height={chosen.height}", f"--limit={chosen.limit}"]
    print(f"Mandelbrot set, {chosen.width} x {chosen.height} points, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder:
        plain_png = os.path.join(folder, "plain.png")
        jit_png = os.path.join(folder, "jit.png")
        plain, _ = in_fresh_process(size, plain_png, jit=False)
        print(f"  interpreted    {plain:8.2f} s")
        native, summary = in_fresh_process(size, jit_png, jit=True)
        print(f"  under jitcore  {native:8.2f} s   {plain / native:.1f} times as fast, compiling included")
        picture = pathlib.Path(plain_png).read_bytes()
        same = picture == pathlib.Path(jit_png).read_bytes()
    pathlib.Path(chosen.output).write_bytes(picture)
    print(f"  pictures are   {'the same' if same else 'DIFFERENT'}; saved as {chosen.output}")
    print(summary, end="")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
