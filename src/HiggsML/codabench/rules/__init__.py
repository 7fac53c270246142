"""What the platform refuses, and what this challenge needs, found before an upload."""
