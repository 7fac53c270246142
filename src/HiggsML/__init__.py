"""The HiggsML Uncertainty Challenge: events, systematics, pseudo-experiments and scores.

``__api_version__`` is the release of the PyPI package ``HiggsML`` whose names and behavior this one
replaces; ``__version__`` is this package's own, and always above it.
"""

import HiggsML.installation  # noqa: F401 (it refuses a mixture of two packages)

__version__ = "0.2.0"
__api_version__ = "0.1.5"
