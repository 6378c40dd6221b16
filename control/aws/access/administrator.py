"""Rights of whoever may make and remove roles, which is the right to give rights."""

from control.aws.access.conditions import everything, here, in_iam
from control.aws.access.grant import Grant
from control.aws.access.scope import EC2, Scope


def our_roles(scope: Scope, *, path: str = "role") -> list[str]:
    """Of names that begin with kennel-, and what the files have instead."""
    kept = [f"arn:{scope.partition}:iam::{scope.account}:{path}/kennel-*"]
    return kept + [arn for _, name in scope.roles for arn in scope.role_arns(name, path)]


ADMINISTRATOR = (
    Grant(
        sid="FindRoles",
        why="which roles there are; lists know no resource",
        commands=("cleanup --roles",),
        actions=("iam:ListRoles",),
        resources=everything,
        condition=in_iam,
    ),
    Grant(
        sid="MakeRoles",
        why="roles of kennel's names: made with their tags, compared, changed",
        commands=("iam", "lambda --create-role"),
        actions=(
            *("iam:CreateRole", "iam:TagRole", "iam:GetRole", "iam:GetRolePolicy"),
            *("iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:ListRolePolicies"),
        ),
        resources=our_roles,
    ),
    Grant(
        sid="FindSchedules",
        why="scheduled deletions that are there; lists know no resource, so: in this region",
        commands=("iam --exact",),
        actions=("scheduler:ListSchedules",),
        resources=everything,
        condition=here,
    ),
    Grant(
        sid="SeeSchedules",
        why="that a role keeps the rights by which schedules delete",
        commands=("iam --exact",),
        actions=("scheduler:GetSchedule",),
        resources=lambda scope: [scope.arn("scheduler", "schedule/*/kennel-*")],
    ),
    Grant(
        sid="SeeAttached",
        why="... which policies of others may give, too",
        commands=("iam --exact",),
        actions=("iam:ListAttachedRolePolicies",),
        resources=our_roles,
    ),
    Grant(
        sid="MakeInstanceProfiles",
        why="the profile by which an instance takes its role",
        commands=("iam",),
        actions=(
            *("iam:CreateInstanceProfile", "iam:TagInstanceProfile", "iam:GetInstanceProfile"),
            "iam:AddRoleToInstanceProfile",
        ),
        resources=lambda scope: our_roles(scope, path="instance-profile"),
    ),
    Grant(
        sid="PutRoleIntoProfile",
        why="a role goes into a profile only by whoever may pass it",
        commands=("iam",),
        actions=("iam:PassRole",),
        resources=lambda scope: scope.role(EC2),
    ),
    Grant(
        sid="RemoveRoles",
        why="roles of kennel's names go, when nothing is on them",
        commands=("cleanup --roles", "lambda --with-role"),
        actions=(
            *("iam:ListRoleTags", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies"),
            *("iam:ListInstanceProfilesForRole", "iam:DetachRolePolicy", "iam:DeleteRolePolicy"),
            "iam:DeleteRole",
        ),
        resources=our_roles,
    ),
    Grant(
        sid="RemoveInstanceProfiles",
        why="... and the profile of that name",
        commands=("cleanup --roles",),
        actions=("iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"),
        resources=lambda scope: our_roles(scope, path="instance-profile"),
    ),
    Grant(
        sid="FindRoleUsers",
        why="whether a function still works as the role",
        commands=("lambda --with-role",),
        actions=("lambda:ListFunctions",),
        resources=everything,
        condition=here,
    ),
)
