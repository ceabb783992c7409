"""Benchmarks: `python -m bench` from the root of the repository (see docs/bench.md).

A measurement is a fresh process (`worker`) that does one thing under one configuration (`configurations`);
`runner` starts them in turns, so that whatever else the machine does hits all configurations alike, and
puts the samples together; `report` and `page` show them. The measured programs are in `kernels` and, for
pyperformance's, `programs`.

Nothing here imports jitcore: it is in the workers, or not, by what their environment says, as in anybody's
program.
"""
