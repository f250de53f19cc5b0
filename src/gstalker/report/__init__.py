"""Scores become tables and a page: reads files only, trains and renders nothing."""
