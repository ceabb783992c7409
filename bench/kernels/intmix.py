"""A sum in a while loop over a 32-bit mix of shifts, xors and masks; every round needs the one before."""

DOOR = "loop"
SIZE = 100_000
QUICK = 20_000
EXPECTED = {SIZE: 9828713499, QUICK: 1971357546}


def run(n):
    state = 2463534242
    total = 0
    i = 0
    while i < n:
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        total = (total + (state & 0xFFFF) * 3) & 0xFFFFFFFFFFFF
        i += 1
    return total
