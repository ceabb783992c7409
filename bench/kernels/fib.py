"""Fibonacci numbers by two recursive calls: nothing but calls, comparisons and additions."""

DOOR = "function"
SIZE = 28
QUICK = 20
EXPECTED = {SIZE: 317811, QUICK: 6765}


def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def run(n):
    return fib(n)
