"""Whom we imagine: virtual patients and arms, and whole cohorts."""
