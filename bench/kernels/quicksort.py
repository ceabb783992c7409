"""Quicksort in place over a list of n ints, recursive; a checksum over the sorted list comes back."""

DOOR = "loop"
SIZE = 20_000
QUICK = 3_000
EXPECTED = {SIZE: 619005548, QUICK: 876082728}


def sort(items, low, high):
    while low < high:
        pivot = items[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while items[i] < pivot:
                i += 1
            while pivot < items[j]:
                j -= 1
            if i <= j:
                items[i], items[j] = items[j], items[i]
                i += 1
                j -= 1
        if j - low < high - i:
            sort(items, low, j)
            low = i
        else:
            sort(items, i, high)
            high = j


def run(n):
    items = []
    seed = 7
    for _ in range(n):
        seed = (seed * 1103515245 + 12345) % 2147483648
        items.append(seed // 8)
    sort(items, 0, n - 1)
    check = 0
    for i in range(n):
        if i and items[i - 1] > items[i]:
            return -1
        check = (check * 31 + items[i]) % 1000000007
    return check
