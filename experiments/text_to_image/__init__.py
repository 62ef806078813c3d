"""Text to picture: encoders, systems, and what their pictures show of what was asked."""
