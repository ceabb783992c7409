"""Five planets pulling at each other for n steps; each body is a list [x, y, z, vx, vy, vz, mass]."""

from math import sqrt

DOOR = "loop"
SIZE = 8_000
QUICK = 800
EXPECTED = {SIZE: -0.16928938488815926, QUICK: -0.16928810148040355}


def system():
    pi = 3.141592653589793
    sun = 4 * pi * pi
    year = 365.24
    return [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, sun],
        [
            4.84143144246472090e00,
            -1.16032004402742839e00,
            -1.03622044471123109e-01,
            1.66007664274403694e-03 * year,
            7.69901118419740425e-03 * year,
            -6.90460016972063023e-05 * year,
            9.54791938424326609e-04 * sun,
        ],
        [
            8.34336671824457987e00,
            4.12479856412430479e00,
            -4.03523417114321381e-01,
            -2.76742510726411021e-03 * year,
            4.99852801234917238e-03 * year,
            2.30417297573763929e-05 * year,
            2.85885980666130812e-04 * sun,
        ],
        [
            1.28943695621391310e01,
            -1.51111514016986312e01,
            -2.23307578892655734e-01,
            2.96460137564761618e-03 * year,
            2.37847173959480950e-03 * year,
            -2.96589568540237556e-05 * year,
            4.36624404335156298e-05 * sun,
        ],
        [
            1.53796971148509165e01,
            -2.59193146099879641e01,
            1.79258772950371181e-01,
            2.68067772490389322e-03 * year,
            1.62824170038242295e-03 * year,
            -9.51592254519715870e-05 * year,
            5.15138902046611451e-05 * sun,
        ],
    ]


def advance(bodies, dt, steps):
    count = len(bodies)
    for _ in range(steps):
        for i in range(count):
            a = bodies[i]
            for j in range(i + 1, count):
                b = bodies[j]
                dx = a[0] - b[0]
                dy = a[1] - b[1]
                dz = a[2] - b[2]
                square = dx * dx + dy * dy + dz * dz
                pull = dt / (square * sqrt(square))
                ma = a[6] * pull
                mb = b[6] * pull
                a[3] -= dx * mb
                a[4] -= dy * mb
                a[5] -= dz * mb
                b[3] += dx * ma
                b[4] += dy * ma
                b[5] += dz * ma
        for body in bodies:
            body[0] += dt * body[3]
            body[1] += dt * body[4]
            body[2] += dt * body[5]


def energy(bodies):
    total = 0.0
    for i in range(len(bodies)):
        a = bodies[i]
        total += 0.5 * a[6] * (a[3] * a[3] + a[4] * a[4] + a[5] * a[5])
        for j in range(i + 1, len(bodies)):
            b = bodies[j]
            dx = a[0] - b[0]
            dy = a[1] - b[1]
            dz = a[2] - b[2]
            total -= a[6] * b[6] / sqrt(dx * dx + dy * dy + dz * dz)
    return total


def run(n):
    bodies = system()
    advance(bodies, 0.001, n)
    return energy(bodies)
