"""The competition as one zip, and the tree of files that it is made from."""
