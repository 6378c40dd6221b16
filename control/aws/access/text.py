"""Text: a policy for people: the table of what each statement is for, then the document."""

import json

from control.aws.access.actions import MOST_ATTACHED, documents
from control.aws.access.chosen import Chosen
from control.aws.access.roles import ROLES
from control.terminal import table

WHOSE = {
    "person": "whoever runs kennel",
    "administrator": "whoever makes and removes roles; who may do that may do anything",
}


def policy_text(chosen: Chosen, key: str) -> str:
    """One policy with its table."""
    scope, role = chosen.scope, ROLES.get(key)
    rows = [
        (grant.sid, ", ".join(chosen.called_by(grant)) or key, grant.why)
        for grant in chosen.grants(key)
        if grant.statement(scope)
    ]
    lines = [f"# {key}: {WHOSE.get(key) or f'role {role.name}' if role else WHOSE[key]}", ""]
    lines += [table(("statement", "for", "why"), rows), ""]
    if role:
        lines += [f"## {key}: whom it trusts", json.dumps(role.trust(scope), indent=2), ""]
    parts = documents(chosen.policy(key)) if not role else [chosen.policy(key)]
    for number, part in enumerate(parts, 1):
        which = f", part {number} of {len(parts)}" if len(parts) > 1 else ""
        lines += [f"## {key}: policy{which}", json.dumps(part, indent=2), ""]
    if len(parts) > MOST_ATTACHED:
        lines += [f"note:    {too_many(key, len(parts))}", ""]
    return "\n".join(lines)


def too_many(key: str, count: int) -> str:
    """Of a policy in more parts than can be attached. Source: IAM user guide, quotas."""
    return (
        f"{count} policies for {key}, and AWS attaches {MOST_ATTACHED} to a user, a group or a "
        "role unless its quota was raised: --prefix NAME allows all names that begin so in a few, "
        "--commands run,list leaves out what is not needed; or a group for each "
        f"{MOST_ATTACHED} policies"
    )


def policies_json(chosen: Chosen) -> dict[str, object]:
    """For `-o json`: of roles their trust, too; of people the parts that IAM takes."""
    found: dict[str, object] = {}
    for key in chosen.keys:
        if role := ROLES.get(key):
            found[key] = {
                "roles": chosen.scope.role(role.name),
                "trust": role.trust(chosen.scope),
                "policy": chosen.policy(key),
            }
        else:
            found[key] = {"policy": chosen.policy(key), "parts": documents(chosen.policy(key))}
    return found
