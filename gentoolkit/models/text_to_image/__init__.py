"""Systems that paint pictures from texts: a file of networks for each, with the names of its published files."""
