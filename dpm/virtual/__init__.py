"""Whom we imagine: virtual patients and arms."""
