"""Scores and information: arrays in, frozen values out."""
