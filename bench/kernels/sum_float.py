"""The plainest loop over floats."""

DOOR = "loop"
SIZE = 1_500_000
QUICK = 100_000
EXPECTED = {SIZE: 562499625000.0, QUICK: 2499975000.0}


def run(n):
    s = 0.0
    for i in range(n):
        s += i * 0.5
    return s
