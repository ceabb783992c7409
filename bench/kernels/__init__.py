"""The kernels: small programs in plain Python, one to a file, that know nothing of any compiler.

Each has `run(n)`, which does all its work anew and returns a value that tells whether the work was right;
`SIZE` and `QUICK`, the sizes for measuring (about 50 ms of the interpreter) and for checking; and
`EXPECTED`, the right value for both. Values are the same to the bit on every Python: no compensated sums,
no library functions that round differently elsewhere. `DOOR` says what gets hot: 'loop', or 'function'
where there is no loop at all.

No annotations and no tricks: what is measured is the Python that people write.
"""

# In the order of the tables; the first six are the ones that a single mean is quoted for.
ORDER = (
    "intmix",
    "mandelbrot",
    "nbody",
    "matmul",
    "sieve",
    "fib",
    "spectral_norm",
    "fannkuch",
    "edit_distance",
    "monte_carlo",
    "quicksort",
    "life",
    "sum_int",
    "sum_float",
)
FIRST_SIX = ORDER[:6]
