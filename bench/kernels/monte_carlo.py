"""Pi by n random points in a square; the random numbers come from a congruential generator in Python."""

DOOR = "loop"
SIZE = 100_000
QUICK = 20_000
EXPECTED = {SIZE: 3.14996, QUICK: 3.1278}


def run(n):
    seed = 42
    inside = 0
    for _ in range(n):
        seed = (seed * 1664525 + 1013904223) % 4294967296
        x = seed / 4294967296.0
        seed = (seed * 1664525 + 1013904223) % 4294967296
        y = seed / 4294967296.0
        if x * x + y * y <= 1.0:
            inside += 1
    return 4.0 * inside / n
