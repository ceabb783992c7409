"""The product of two n by n matrices, lists of lists of floats; the trace of the product comes back."""

DOOR = "loop"
SIZE = 100
QUICK = 40
EXPECTED = {SIZE: 16249.0, QUICK: 2597.9375}


def matrix(n, step):
    return [[(i * step + j) % 7 * 0.25 + 0.5 for j in range(n)] for i in range(n)]


def product(a, b, n):
    result = []
    for i in range(n):
        row = a[i]
        line = []
        for j in range(n):
            total = 0.0
            for k in range(n):
                total += row[k] * b[k][j]
            line.append(total)
        result.append(line)
    return result


def run(n):
    c = product(matrix(n, 3), matrix(n, 5), n)
    trace = 0.0
    for i in range(n):
        trace += c[i][i]
    return trace
