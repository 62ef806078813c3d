"""Each system: who trains what, and what is done with it afterwards."""
