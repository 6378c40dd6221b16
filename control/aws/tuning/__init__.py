"""Tuning jobs in SageMaker: how they are followed, and read as studies like those of here."""
