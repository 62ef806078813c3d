"""Image metrics of a folder of generated images beside a folder of real ones, as a command."""
