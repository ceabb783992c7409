"""Rounds until points of an n by n grid leave the circle of the Mandelbrot set, added up."""

DOOR = "loop"
SIZE = 128
QUICK = 32
EXPECTED = {SIZE: 497978, QUICK: 31774}


def escape(cx, cy, limit):
    x = 0.0
    y = 0.0
    for count in range(limit):
        xx = x * x
        yy = y * y
        if xx + yy > 4.0:
            return count
        y = 2.0 * x * y + cy
        x = xx - yy + cx
    return limit


def run(n):
    total = 0
    for row in range(n):
        cy = 2.0 * row / n - 1.0
        for column in range(n):
            cx = 3.0 * column / n - 2.0
            total += escape(cx, cy, 100)
    return total
