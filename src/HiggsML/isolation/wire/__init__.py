"""The channel between trusted process and submission, and the memory they share."""
