"""Roles that `kennel iam create` made, with what has to go before them."""

from collections.abc import Mapping
from typing import Any

from control.aws.account import Account
from control.aws.call import Call
from control.aws.house.asking import found_by_each
from control.aws.house.found import Found, moment, owner
from control.aws.tags import tags_of

OUR_ROLES = "kennel-"  # names begin so


def iam(operation: str, **parameters: Any) -> Call:
    """A call of IAM's."""
    return Call(service="iam", operation=operation, parameters=parameters)


def roles(account: Account) -> list[Found]:
    """Roles that are tagged as ours. They cost nothing, and others may use them."""

    def look(item: Mapping[str, Any]) -> Found | None:
        name = str(item["RoleName"])
        tags = tags_of(list(account.pages(iam("ListRoleTags", RoleName=name), "Tags")))
        if not owner(tags):
            return None
        attached = account.pages(iam("ListAttachedRolePolicies", RoleName=name), "AttachedPolicies")
        profiles = account.pages(
            iam("ListInstanceProfilesForRole", RoleName=name), "InstanceProfiles"
        )
        return Found(
            kind="role",
            id=name,
            name=owner(tags),
            since=moment(item, "CreateDate"),
            about={
                "inline": list(
                    account.pages(iam("ListRolePolicies", RoleName=name), "PolicyNames")
                ),
                "attached": [str(one["PolicyArn"]) for one in attached],
                "profiles": [str(one["InstanceProfileName"]) for one in profiles],
            },
        )

    every = account.pages(iam("ListRoles"), "Roles")
    return found_by_each(look, [one for one in every if one["RoleName"].startswith(OUR_ROLES)])
