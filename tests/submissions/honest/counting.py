def measure(n, signal, background):
    return (n - background) / signal, max(n, 1.0) ** 0.5 / signal
