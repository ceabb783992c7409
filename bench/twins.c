/* The kernels in C, for comparison: the same steps in the same order on the same kinds of numbers, as one writes them in C.
   Each function has the name of its kernel and does what the kernel's run(n) does. Built and called by twins.py. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef long long Int;

Int intmix(Int n)
{
    Int state = 2463534242, total = 0;
    for (Int i = 0; i < n; i++) {
        state ^= (state << 13) & 0xFFFFFFFF;
        state ^= state >> 17;
        state ^= (state << 5) & 0xFFFFFFFF;
        total = (total + (state & 0xFFFF) * 3) & 0xFFFFFFFFFFFF;
    }
    return total;
}

static Int escape(double cx, double cy, Int limit)
{
    double x = 0.0, y = 0.0;
    for (Int count = 0; count < limit; count++) {
        double xx = x * x, yy = y * y;
        if (xx + yy > 4.0)
            return count;
        y = 2.0 * x * y + cy;
        x = xx - yy + cx;
    }
    return limit;
}

Int mandelbrot(Int n)
{
    Int total = 0;
    for (Int row = 0; row < n; row++) {
        double cy = 2.0 * row / n - 1.0;
        for (Int column = 0; column < n; column++)
            total += escape(3.0 * column / n - 2.0, cy, 100);
    }
    return total;
}

#define BODIES 5

static double energy(double bodies[BODIES][7])
{
    double total = 0.0;
    for (int i = 0; i < BODIES; i++) {
        double *a = bodies[i];
        total += 0.5 * a[6] * (a[3] * a[3] + a[4] * a[4] + a[5] * a[5]);
        for (int j = i + 1; j < BODIES; j++) {
            double *b = bodies[j];
            double dx = a[0] - b[0], dy = a[1] - b[1], dz = a[2] - b[2];
            total -= a[6] * b[6] / sqrt(dx * dx + dy * dy + dz * dz);
        }
    }
    return total;
}

double nbody(Int n)
{
    const double pi = 3.141592653589793, sun = 4 * pi * pi, year = 365.24, dt = 0.001;
    double bodies[BODIES][7] = {
        {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, sun},
        {4.84143144246472090e00, -1.16032004402742839e00, -1.03622044471123109e-01, 1.66007664274403694e-03 * year,
         7.69901118419740425e-03 * year, -6.90460016972063023e-05 * year, 9.54791938424326609e-04 * sun},
        {8.34336671824457987e00, 4.12479856412430479e00, -4.03523417114321381e-01, -2.76742510726411021e-03 * year,
         4.99852801234917238e-03 * year, 2.30417297573763929e-05 * year, 2.85885980666130812e-04 * sun},
        {1.28943695621391310e01, -1.51111514016986312e01, -2.23307578892655734e-01, 2.96460137564761618e-03 * year,
         2.37847173959480950e-03 * year, -2.96589568540237556e-05 * year, 4.36624404335156298e-05 * sun},
        {1.53796971148509165e01, -2.59193146099879641e01, 1.79258772950371181e-01, 2.68067772490389322e-03 * year,
         1.62824170038242295e-03 * year, -9.51592254519715870e-05 * year, 5.15138902046611451e-05 * sun},
    };
    for (Int step = 0; step < n; step++) {
        for (int i = 0; i < BODIES; i++) {
            double *a = bodies[i];
            for (int j = i + 1; j < BODIES; j++) {
                double *b = bodies[j];
                double dx = a[0] - b[0], dy = a[1] - b[1], dz = a[2] - b[2];
                double square = dx * dx + dy * dy + dz * dz;
                double pull = dt / (square * sqrt(square));
                double ma = a[6] * pull, mb = b[6] * pull;
                a[3] -= dx * mb;
                a[4] -= dy * mb;
                a[5] -= dz * mb;
                b[3] += dx * ma;
                b[4] += dy * ma;
                b[5] += dz * ma;
            }
        }
        for (int i = 0; i < BODIES; i++) {
            double *body = bodies[i];
            body[0] += dt * body[3];
            body[1] += dt * body[4];
            body[2] += dt * body[5];
        }
    }
    return energy(bodies);
}

static double *matrix(Int n, Int step)
{
    double *made = malloc(n * n * sizeof *made);
    for (Int i = 0; i < n; i++)
        for (Int j = 0; j < n; j++)
            made[i * n + j] = (i * step + j) % 7 * 0.25 + 0.5;
    return made;
}

double matmul(Int n)
{
    double *a = matrix(n, 3), *b = matrix(n, 5), *c = malloc(n * n * sizeof *c), trace = 0.0;
    for (Int i = 0; i < n; i++)
        for (Int j = 0; j < n; j++) {
            double total = 0.0;
            for (Int k = 0; k < n; k++)
                total += a[i * n + k] * b[k * n + j];
            c[i * n + j] = total;
        }
    for (Int i = 0; i < n; i++)
        trace += c[i * n + i];
    free(a), free(b), free(c);
    return trace;
}

Int sieve(Int n)
{
    char *prime = malloc(n + 1);
    Int count = 0;
    memset(prime, 1, n + 1);
    prime[0] = prime[1] = 0;
    for (Int i = 2; i * i <= n; i++)
        if (prime[i])
            for (Int j = i * i; j < n + 1; j += i)
                prime[j] = 0;
    for (Int i = 0; i <= n; i++)
        if (prime[i])
            count++;
    free(prime);
    return count;
}

Int fib(Int n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static double element(Int i, Int j)
{
    return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1);
}

static void times(const double *vector, double *result, Int n)
{
    for (Int i = 0; i < n; i++) {
        double total = 0.0;
        for (Int j = 0; j < n; j++)
            total += element(i, j) * vector[j];
        result[i] = total;
    }
}

static void transposed_times(const double *vector, double *result, Int n)
{
    for (Int i = 0; i < n; i++) {
        double total = 0.0;
        for (Int j = 0; j < n; j++)
            total += element(j, i) * vector[j];
        result[i] = total;
    }
}

double spectral_norm(Int n)
{
    double *u = malloc(n * sizeof *u), *v = malloc(n * sizeof *v), *w = malloc(n * sizeof *w), uv = 0.0, vv = 0.0;
    for (Int i = 0; i < n; i++)
        u[i] = 1.0;
    for (int step = 0; step < 10; step++) {
        times(u, w, n), transposed_times(w, v, n);
        times(v, w, n), transposed_times(w, u, n);
    }
    for (Int i = 0; i < n; i++) {
        uv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    free(u), free(v), free(w);
    return sqrt(uv / vv);
}

Int fannkuch(Int n)
{
    Int order[32], counts[32] = {0}, pile[32], most = 0, checksum = 0, sign = 1, r = n;
    for (Int i = 0; i < n; i++)
        order[i] = i;
    for (;;) {
        while (r != 1) {
            counts[r - 1] = r;
            r--;
        }
        Int first = order[0];
        if (first != 0) {
            Int flips = 0;
            memcpy(pile, order, n * sizeof *pile);
            while (first != 0) {
                for (Int low = 0, high = first; low < high; low++, high--) {
                    Int kept = pile[low];
                    pile[low] = pile[high];
                    pile[high] = kept;
                }
                flips++;
                first = pile[0];
            }
            if (flips > most)
                most = flips;
            checksum += sign * flips;
        }
        sign = -sign;
        for (;;) {
            if (r == n)
                return 1000 * most + checksum;
            Int front = order[0];
            for (Int i = 0; i < r; i++)
                order[i] = order[i + 1];
            order[r] = front;
            if (--counts[r] > 0)
                break;
            r++;
        }
    }
}

static Int *letters(Int n, Int seed)
{
    Int *made = malloc(n * sizeof *made);
    for (Int i = 0; i < n; i++) {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        made[i] = seed / 65536 % 4;
    }
    return made;
}

Int edit_distance(Int n)
{
    Int *a = letters(n, 1), *b = letters(n, 2);
    Int *previous = malloc((n + 1) * sizeof *previous), *current = malloc((n + 1) * sizeof *current), result;
    for (Int j = 0; j <= n; j++)
        previous[j] = j;
    for (Int i = 0; i < n; i++) {
        Int *kept = previous;
        current[0] = i + 1;
        for (Int j = 0; j < n; j++) {
            Int best = previous[j] + (a[i] != b[j]);
            if (previous[j + 1] + 1 < best)
                best = previous[j + 1] + 1;
            if (current[j] + 1 < best)
                best = current[j] + 1;
            current[j + 1] = best;
        }
        previous = current;
        current = kept;
    }
    result = previous[n];
    free(a), free(b), free(previous), free(current);
    return result;
}

double monte_carlo(Int n)
{
    Int seed = 42, inside = 0;
    for (Int i = 0; i < n; i++) {
        seed = (seed * 1664525 + 1013904223) % 4294967296;
        double x = seed / 4294967296.0;
        seed = (seed * 1664525 + 1013904223) % 4294967296;
        double y = seed / 4294967296.0;
        if (x * x + y * y <= 1.0)
            inside++;
    }
    return 4.0 * inside / n;
}

static void sort(Int *items, Int low, Int high)
{
    while (low < high) {
        Int pivot = items[(low + high) / 2], i = low, j = high;
        while (i <= j) {
            while (items[i] < pivot)
                i++;
            while (pivot < items[j])
                j--;
            if (i <= j) {
                Int kept = items[i];
                items[i++] = items[j];
                items[j--] = kept;
            }
        }
        if (j - low < high - i) {
            sort(items, low, j);
            low = i;
        } else {
            sort(items, i, high);
            high = j;
        }
    }
}

Int quicksort(Int n)
{
    Int *items = malloc(n * sizeof *items), seed = 7, check = 0;
    for (Int i = 0; i < n; i++) {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        items[i] = seed / 8;
    }
    sort(items, 0, n - 1);
    for (Int i = 0; i < n; i++) {
        if (i && items[i - 1] > items[i]) {
            check = -1;
            break;
        }
        check = (check * 31 + items[i]) % 1000000007;
    }
    free(items);
    return check;
}

Int life(Int n)
{
    Int *grid = malloc(n * n * sizeof *grid), *next = malloc(n * n * sizeof *next), seed = 3, alive = 0;
    for (Int i = 0; i < n * n; i++) {
        seed = (seed * 1664525 + 1013904223) % 4294967296;
        grid[i] = seed > 2800000000;
    }
    for (int generation = 0; generation < 10; generation++) {
        Int *kept = grid;
        for (Int y = 0; y < n; y++) {
            Int *above = grid + (y + n - 1) % n * n, *row = grid + y * n, *below = grid + (y + 1) % n * n;
            for (Int x = 0; x < n; x++) {
                Int left = (x + n - 1) % n, right = (x + 1) % n;
                Int around = above[left] + above[x] + above[right] + row[left] + row[right] + below[left] + below[x]
                             + below[right];
                next[y * n + x] = around == 3 || (around == 2 && row[x] == 1);
            }
        }
        grid = next;
        next = kept;
    }
    for (Int i = 0; i < n * n; i++)
        alive += grid[i];
    free(grid), free(next);
    return alive;
}

Int sum_int(Int n)
{
    Int s = 0;
    for (Int i = 0; i < n; i++)
        s += i;
    return s;
}

double sum_float(Int n)
{
    double s = 0.0;
    for (Int i = 0; i < n; i++)
        s += i * 0.5;
    return s;
}
