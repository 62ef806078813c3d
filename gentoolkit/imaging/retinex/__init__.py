"""Classical low-light enhancement, one method a file, each with `enhance(image, *, ...)`."""
