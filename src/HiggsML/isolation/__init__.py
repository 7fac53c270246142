"""The border between the trusted process and a participant's code."""
