"""Rights of people who put a function before an endpoint: kennel lambda."""

from collections.abc import Iterable

from control.aws.access.conditions import passed_to
from control.aws.access.grant import Grant
from control.aws.access.scope import LAMBDA, Scope
from control.aws.expiry import schedule_name

FUNCTION_LOGS = "/aws/lambda"


def functions(scope: Scope, names: Iterable[str] | None = None) -> list[str]:
    """Functions themselves."""
    return [
        scope.arn("lambda", f"function:{name}")
        for name in (scope.functions if names is None else names)
    ]


def aliases(scope: Scope) -> list[str]:
    """Versions and aliases of functions."""
    return [f"{arn}:*" for arn in functions(scope)]


def with_alias(scope: Scope) -> list[str]:
    """Functions, and their versions and aliases."""
    return [*functions(scope), *aliases(scope)]


FUNCTIONS = (
    Grant(
        sid="MakeFunctions",
        why="a function: made with its tags, changed, removed",
        commands=("lambda",),
        actions=(
            *("lambda:CreateFunction", "lambda:GetFunction", "lambda:UpdateFunctionCode"),
            *("lambda:UpdateFunctionConfiguration", "lambda:DeleteFunction"),
            *("lambda:TagResource", "lambda:UntagResource"),
            *("lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency"),
            *("lambda:PublishVersion", "lambda:GetAlias", "lambda:CreateAlias"),
            *("lambda:UpdateAlias", "lambda:DeleteAlias"),
        ),
        resources=functions,
    ),
    Grant(
        sid="ReachFunctions",
        why="its address, and who may ask; a test",
        commands=("lambda",),
        actions=(
            *("lambda:CreateFunctionUrlConfig", "lambda:GetFunctionUrlConfig"),
            *("lambda:UpdateFunctionUrlConfig", "lambda:DeleteFunctionUrlConfig"),
            *("lambda:AddPermission", "lambda:RemovePermission", "lambda:InvokeFunction"),
        ),
        resources=with_alias,
    ),
    Grant(
        sid="KeepFunctionsReady",
        why="instances kept ready, of an alias",
        commands=("lambda",),
        actions=(
            *("lambda:PutProvisionedConcurrencyConfig", "lambda:GetProvisionedConcurrencyConfig"),
            "lambda:DeleteProvisionedConcurrencyConfig",
        ),
        resources=aliases,
    ),
    Grant(
        sid="PassLambdaRole",
        why="the function works as this role",
        commands=("lambda",),
        actions=("iam:PassRole",),
        resources=lambda scope: scope.role(LAMBDA),
        condition=passed_to("lambda.amazonaws.com"),
    ),
    Grant(
        sid="FunctionLogs",
        why="its log, which ends after a while",
        commands=("lambda",),
        actions=("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteLogGroup"),
        resources=lambda scope: [
            arn for name in scope.functions for arn in scope.logs(f"{FUNCTION_LOGS}/{name}")
        ],
    ),
    Grant(
        sid="TagFunctionLogs",
        why="tags of it",
        commands=("lambda",),
        actions=("logs:TagResource", "logs:ListTagsForResource"),
        resources=lambda scope: [
            scope.arn("logs", f"log-group:{FUNCTION_LOGS}/{name}") for name in scope.functions
        ],
    ),
    Grant(
        sid="ScheduleFunctionDeletion",
        why="the end of a function, which AWS sees to",
        commands=("lambda",),
        actions=(
            *("scheduler:CreateSchedule", "scheduler:UpdateSchedule"),
            *("scheduler:GetSchedule", "scheduler:DeleteSchedule"),
        ),
        resources=lambda scope: [
            scope.arn("scheduler", f"schedule/default/{schedule_name('function', name)}")
            for name in scope.functions
        ],
    ),
)
