"""A participant's submission: find it, load its Model, read and make its zip."""
