"""`python -m experiments.weights`, the same as `python -m experiments.weights.main`."""

from absl import app

from experiments.weights import main

app.run(main.main)
