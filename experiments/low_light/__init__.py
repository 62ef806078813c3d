"""Low-light enhancement by an approximated Gaussian process (Loh), its tables, and a command for photographs."""
