"""Training jobs in SageMaker: their requests, how they are followed, what is fetched from them."""
