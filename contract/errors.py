"""Every error that we raise on purpose, and who must act on it.

KennelError                       base: one line for the user, the traceback only in the log
  JobError                        the job's author: running it again fails the same way
    HyperparameterError           one hyperparameter is unknown or wrong
    SpecError                     a TOML description is wrong
    ChannelError                  a channel is missing, empty or laid out in a way we cannot read
    DataError                     the pictures or labels themselves are unusable
    WeightsError                  pretrained weights are missing, damaged or do not fit
  ImageError                      the sender of one picture: it cannot be decoded
    ImageTooLargeError            ... it is over a limit on bytes, pixels or frames
  BundleError                     the owner of the model: the bundle is incomplete or does not fit
    ProbeError                    ... it no longer computes what training computed
  QuantizeError                   nobody: the network is served in float32 instead of int8
  ExplainError                    nobody: this network's answers come without heat maps
  RequestError                    the caller of the endpoint; carries the HTTP status
    UserCodeError                 ... but the model's own code/inference.py failed: its owner
  UsageError                      the person at the terminal: the command line asks the impossible
  HostError                       the machine's owner: disk, port, memory, missing program
  InterruptedJobError             nobody: the job was told to stop; it can be resumed
"""


class KennelError(Exception):
    """Base of all our errors. `str(error)` is one line fit for a user."""

    exit_code = 1


class JobError(KennelError):
    """The job description is wrong: running it again fails the same way."""

    exit_code = 2


class HyperparameterError(JobError):
    """One hyperparameter is wrong: says which, what was sent, what is allowed."""

    def __init__(self, key: str, got: object, expected: str, near: str | None = None) -> None:
        # All four go to args, so the error survives pickling from a worker process.
        super().__init__(key, got, expected, near)
        self.key, self.got, self.expected, self.near = key, got, expected, near

    def __str__(self) -> str:
        hint = f"; did you mean {self.near!r}?" if self.near else ""
        return f"hyperparameter {self.key!r}: expected {self.expected}, got {self.got!r}{hint}"


class SpecError(JobError):
    """A TOML description (job, tuning, deployment) is wrong."""


class ChannelError(JobError):
    """A channel is missing, empty, or laid out in a way that we cannot read."""


class DataError(JobError):
    """The pictures or the labels of a channel are unusable."""


class WeightsError(JobError):
    """Pretrained weights are missing, damaged, or do not fit the network."""


class ImageError(KennelError):
    """One picture cannot be decoded."""


class ImageTooLargeError(ImageError):
    """One picture is over a limit on bytes, pixels or frames."""


class BundleError(KennelError):
    """A bundle is incomplete, damaged, or of a format that this version does not know."""


class ProbeError(BundleError):
    """The network of a bundle answers its probe picture differently than training did."""


class QuantizeError(KennelError):
    """A network that cannot be computed in int8. It is served in float32 instead."""


class ExplainError(KennelError):
    """A network, or a bundle, whose answers cannot be explained by a heat map; says why."""


class RequestError(KennelError):
    """A request that the server refuses. The client must change it, except after a 503.

    Args (positional, kept in `args` so that the error pickles):
        status: the HTTP status, 400 to 599.
        message: what was expected, what came, what to do.
        retry_after_seconds: set for 503 only: the same request may be sent again then.
    """

    def __init__(self, status: int, message: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(status, message, retry_after_seconds)
        self.status, self.message = status, message
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return self.message


class UsageError(KennelError):
    """The command line asks for something that does not exist or cannot be done."""

    exit_code = 2


class UserCodeError(RequestError):
    """A function of the model's own code/inference.py failed. Its traceback is in the log."""


class HostError(KennelError):
    """The machine cannot do it now: full disk, taken port, missing program. Safe to retry."""


class InterruptedJobError(KennelError):
    """The job was told to stop before it had a model. Its checkpoint, if any, resumes it."""

    exit_code = 143  # 128 + SIGTERM
