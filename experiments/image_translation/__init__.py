"""Image translation without pairs: the domain-specific variational information bound and its rivals."""
