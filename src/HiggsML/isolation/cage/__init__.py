"""The restrictions that the submission's process gives itself."""
