"""Draws graphs of clusters: as text, SVG, Mermaid and DOT. Pure."""
