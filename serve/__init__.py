"""The command `serve`: one bundle behind /ping and /invocations, as SageMaker wants it."""
