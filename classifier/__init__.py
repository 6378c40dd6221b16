"""Picture in, probabilities out: the same files in the train image and in the serve images."""
