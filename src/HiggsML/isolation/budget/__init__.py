"""What a submission may use: budgets, and the watch over its processes."""
