"""What a trained network has learnt: its filters, the inputs it answers to most, its motifs."""
