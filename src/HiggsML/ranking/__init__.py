"""Many submissions on the same pseudo-experiments: run them, rank them, keep everything.

``submissions`` finds them, ``run`` measures, ``archive`` keeps what it takes to make a row again,
``board`` computes the rows, and ``pages`` shows them.
"""
