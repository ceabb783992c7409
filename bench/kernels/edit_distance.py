"""The edit distance of two lists of n small ints, by one row of the table at a time."""

DOOR = "loop"
SIZE = 500
QUICK = 150
EXPECTED = {SIZE: 271, QUICK: 85}


def letters(n, seed):
    result = []
    for _ in range(n):
        seed = (seed * 1103515245 + 12345) % 2147483648
        result.append(seed // 65536 % 4)
    return result


def distance(a, b):
    previous = list(range(len(b) + 1))
    for i in range(len(a)):
        letter = a[i]
        current = [i + 1]
        for j in range(len(b)):
            best = previous[j]
            if letter != b[j]:
                best += 1
            if previous[j + 1] + 1 < best:
                best = previous[j + 1] + 1
            if current[j] + 1 < best:
                best = current[j] + 1
            current.append(best)
        previous = current
    return previous[-1]


def run(n):
    return distance(letters(n, 1), letters(n, 2))
