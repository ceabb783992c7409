"""The game of life on an n by n torus, lists of 0 and 1, ten generations: how many cells live at the end."""

DOOR = "loop"
SIZE = 128
QUICK = 32
EXPECTED = {SIZE: 3795, QUICK: 224}


def step(grid, n):
    result = []
    for y in range(n):
        above = grid[y - 1]
        row = grid[y]
        below = grid[(y + 1) % n]
        line = []
        for x in range(n):
            left = x - 1
            right = (x + 1) % n
            around = (
                above[left] + above[x] + above[right]
                + row[left] + row[right]
                + below[left] + below[x] + below[right]
            )  # fmt: skip
            if around == 3 or (around == 2 and row[x] == 1):
                line.append(1)
            else:
                line.append(0)
        result.append(line)
    return result


def run(n):
    grid = []
    seed = 3
    for _ in range(n):
        line = []
        for _ in range(n):
            seed = (seed * 1664525 + 1013904223) % 4294967296
            line.append(1 if seed > 2800000000 else 0)
        grid.append(line)
    for _ in range(10):
        grid = step(grid, n)
    alive = 0
    for row in grid:
        for cell in row:
            alive += cell
    return alive
