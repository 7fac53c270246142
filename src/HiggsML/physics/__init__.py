"""Kinematics, shifts and derived quantities of arrays of events."""
