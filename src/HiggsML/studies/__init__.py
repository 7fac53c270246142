"""Studies of many runs: grids of the truth, comparisons, the information limit."""
