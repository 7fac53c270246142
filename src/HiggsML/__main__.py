"""``python -m HiggsML`` is the command ``higgsml``."""

from HiggsML.cli import main

if __name__ == "__main__":
    main()
