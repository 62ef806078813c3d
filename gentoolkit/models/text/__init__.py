"""What reads texts, as numbers of words, for systems of text to picture."""
