"""The words that all rooms agree on. Standard library only; imports nothing of ours."""
