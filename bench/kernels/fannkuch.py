"""Most flips of a pile of n pancakes over all orders, and a checksum: 1000 * flips + checksum."""

DOOR = "loop"
SIZE = 8
QUICK = 7
EXPECTED = {SIZE: 23616, QUICK: 16228}


def run(n):
    order = list(range(n))
    counts = [0] * n
    most = 0
    checksum = 0
    sign = 1
    r = n
    while True:
        while r != 1:
            counts[r - 1] = r
            r -= 1
        first = order[0]
        if first != 0:
            pile = order[:]
            flips = 0
            while first != 0:
                low = 0
                high = first
                while low < high:
                    kept = pile[low]
                    pile[low] = pile[high]
                    pile[high] = kept
                    low += 1
                    high -= 1
                flips += 1
                first = pile[0]
            if flips > most:
                most = flips
            checksum += sign * flips
        sign = -sign
        while True:
            if r == n:
                return 1000 * most + checksum
            front = order[0]
            for i in range(r):
                order[i] = order[i + 1]
            order[r] = front
            counts[r] -= 1
            if counts[r] > 0:
                break
            r += 1
