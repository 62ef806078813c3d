"""What a system of image translation is: networks, players, and how it is used once it is trained; a file for each."""
