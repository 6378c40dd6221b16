"""Chosen: which policies are shown or made: people's, and the roles' that the files need."""

from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import UsageError
from contract.strict import nearest
from control.aws.access.actions import ADMINISTRATOR, PERSON, known_commands, of_commands
from control.aws.access.grant import Grant, Policy, policy_of
from control.aws.access.roles import ROLES, Role
from control.aws.access.scope import LAMBDA, Scope

PEOPLE = ("person", "administrator")
KEYS = (*PEOPLE, *ROLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a command line asks for."""

    scope: Scope
    keys: tuple[str, ...]
    commands: frozenset[str]  # of the person; none for all

    def grants(self, key: str) -> tuple[Grant, ...]:
        """The table of one policy."""
        if key in ROLES:
            return ROLES[key].grants
        if key == "person":
            return of_commands(PERSON, self.commands)
        return ADMINISTRATOR

    def policy(self, key: str) -> Policy:
        """The document of one."""
        return policy_of(self.grants(key), self.scope)

    def called_by(self, grant: Grant) -> list[str]:
        """The commands, of those that are asked for, that need a line of the person's table."""
        return [one for one in grant.commands if not self.commands or one in self.commands]

    @property
    def roles(self) -> list[Role]:
        """Those that `create` makes."""
        return [ROLES[key] for key in self.keys if key in ROLES]


def check_words(asked: Sequence[str], commands: Sequence[str]) -> None:
    """Raises UsageError: a policy or a command that there is not."""
    for word in asked:
        _check("--only", word, KEYS)
    for word in commands:
        _check("--commands", word, known_commands())


def choose(
    scope: Scope, asked: Sequence[str], commands: Sequence[str], of_files: frozenset[str] | None
) -> Chosen:
    """What is asked for; by default everything that the files need.

    Args:
        of_files: the commands that the files call for; None without files.
    """
    needed = {name for name, _ in scope.roles}
    if scope.endpoints:
        needed.add(LAMBDA)
    roles = [key for key, role in ROLES.items() if of_files is None or role.name in needed]
    return Chosen(
        scope=scope,
        keys=tuple(asked) or (*PEOPLE, *roles),
        commands=frozenset(commands) or of_files or frozenset(),
    )


def _check(flag: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        near = nearest(word, known)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
        raise UsageError(f"{flag}: there is no {word!r}; {hint}")
