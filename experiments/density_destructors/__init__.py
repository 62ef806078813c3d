"""Density destructors (Johnson et al., "Information theory in density destructors")."""
