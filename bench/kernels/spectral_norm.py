"""The spectral norm of a matrix given by a formula, by the power method on vectors of n floats."""

from math import sqrt

DOOR = "loop"
SIZE = 70
QUICK = 24
EXPECTED = {SIZE: 1.2742125283682462, QUICK: 1.273989979775574}


def element(i, j):
    return 1.0 / ((i + j) * (i + j + 1) // 2 + i + 1)


def times(vector, n):
    result = [0.0] * n
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += element(i, j) * vector[j]
        result[i] = total
    return result


def transposed_times(vector, n):
    result = [0.0] * n
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += element(j, i) * vector[j]
        result[i] = total
    return result


def run(n):
    u = [1.0] * n
    v = u
    for _ in range(10):
        v = transposed_times(times(u, n), n)
        u = transposed_times(times(v, n), n)
    uv = 0.0
    vv = 0.0
    for i in range(n):
        uv += u[i] * v[i]
        vv += v[i] * v[i]
    return sqrt(uv / vv)
