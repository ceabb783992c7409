"""The sieve of Eratosthenes over a list of bools: how many primes there are up to n."""

DOOR = "loop"
SIZE = 600_000
QUICK = 50_000
EXPECTED = {SIZE: 49098, QUICK: 5133}


def run(n):
    prime = [True] * (n + 1)
    prime[0] = prime[1] = False
    i = 2
    while i * i <= n:
        if prime[i]:
            for j in range(i * i, n + 1, i):
                prime[j] = False
        i += 1
    count = 0
    for flag in prime:
        if flag:
            count += 1
    return count
