"""What runs in the submission's process."""
