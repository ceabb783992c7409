"""The plainest loop over ints."""

DOOR = "loop"
SIZE = 1_500_000
QUICK = 100_000
EXPECTED = {SIZE: 1124999250000, QUICK: 4999950000}


def run(n):
    s = 0
    for i in range(n):
        s += i
    return s
