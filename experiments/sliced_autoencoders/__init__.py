"""Sliced generative auto-encoders (Knop, Mazur, Tabor, Podolak, Spurek, "Sliced generative models")."""
