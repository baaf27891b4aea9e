"""What a trained network has learnt, and what it sees in its inputs."""
