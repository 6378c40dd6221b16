"""`kennel models`: the models behind a multi-model endpoint: listed, added, removed."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import UsageError
from control.aws.account import Account
from control.aws.call import Call, calls_json
from control.aws.endpoint.deployment import read_deployment
from control.aws.endpoint.model_store import ModelStore, StoredModel
from control.aws.endpoint.multi_spec import model_name, source_of, target_of
from control.aws.endpoint.publish import publications, publish
from control.aws.missing_endpoint import no_endpoint
from control.aws.money import confirm
from control.parser import Command, Parser, add_output_format
from control.s3 import S3Uri
from control.terminal import say, say_json, table

VERBS = ("list", "add", "remove")
MOST_WORDS = {"list": 0, "add": 2, "remove": 1}  # after the verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the models of an endpoint are, and what callers name the endpoint."""

    prefix: S3Uri
    endpoint: str
    file: Path | None = None  # the deployment that was given in its stead ...
    published: frozenset[str] = frozenset()  # ... and the models that it names


def models(arguments: argparse.Namespace) -> int:
    """Exit code 0."""
    words = [word for word in (arguments.name, arguments.bundle) if word is not None]
    if len(words) != MOST_WORDS[arguments.verb]:
        needed = {"list": "nothing else", "add": "NAME and BUNDLE", "remove": "NAME"}
        raise UsageError(f"kennel models WHERE {arguments.verb}: expected {needed[arguments.verb]}")
    account = Account()
    place = _place(arguments.where, account)
    store = ModelStore(account, place.prefix)
    actions = {"list": _list, "add": _add, "remove": _remove}
    return actions[arguments.verb](arguments, place, store, account)


def _list(arguments: argparse.Namespace, place: Place, store: ModelStore, _: Account) -> int:
    if arguments.show:
        uri = store.prefix
        parameters = {"Bucket": uri.bucket, "Prefix": uri.key}
        return _show(Call(service="s3", operation="ListObjectsV2", parameters=parameters))
    found = store.models()
    if arguments.output == "json":
        say_json([_told(one, store) for one in found])
        return 0
    if not found:
        say(f"no model below {store.prefix}")
        say(f"next:    kennel models {arguments.where} add dogs/v1 runs/0001-dogs")
        return 0
    rows = [
        (one.target, f"{one.num_bytes:,}", f"{one.changed_at:%Y-%m-%d %H:%M}", one.source or "-")
        for one in found
    ]
    say(table(("target model", "bytes", "since (UTC)", "from"), rows))
    say(f"next:    {_predict(place, found[0].name)}")
    return 0


def _add(arguments: argparse.Namespace, place: Place, store: ModelStore, account: Account) -> int:
    name = model_name(arguments.name)
    (wanted,) = publications(store, {name: source_of(arguments.bundle)})
    if arguments.show:
        return _show(wanted.call)
    is_new = publish(account, store, [wanted])[name]
    if arguments.output == "json":
        found = store.find(name)
        say_json({**(_told(found, store) if found else {}), "is_new": is_new})
        return 0
    say(f"model:   {wanted.uri}{'' if is_new else ' is there already, from the same bundle'}")
    say(f"next:    {_predict(place, name)}")
    return 0


def _remove(arguments: argparse.Namespace, place: Place, store: ModelStore, _: Account) -> int:
    name = model_name(arguments.name)
    if arguments.show:
        return _show(store.removal(name))
    found, echo = store.known(name), sys.stderr if arguments.output == "json" else sys.stdout
    origin = f", from {found.source}" if found.source else ""
    say(f"model:   {store.uri(name)}, {found.num_bytes:,} bytes{origin}", to=echo)
    confirm(
        is_yes=arguments.yes,
        because=f"model {name} would go",
        otherwise="nothing was removed",
        to=echo,
    )
    store.remove(name)
    if arguments.output == "json":
        say_json({**_told(found, store), "is_removed": True})
    else:
        say(f"removed: {store.uri(name)}, {found.num_bytes:,} bytes")
    # Source: SageMaker developer guide, Remove a model.
    note = "instances that have loaded it go on answering for it until they need its room"
    if name in place.published:
        note += f"; take it out of {place.file}, or the next `kennel deploy` publishes it again"
    say(f"note:    {note}", to=echo)
    return 0


def _place(where: str, account: Account) -> Place:
    """From a deployment's file, or from what the endpoint itself says. Raises UsageError."""
    if where.endswith(".toml"):
        spec = read_deployment(Path(where))
        if not spec.multi_model:
            raise UsageError(f'{where}: kind = "{spec.kind}" has no models to list: it has one')
        return Place(
            prefix=spec.multi_model.prefix,
            endpoint=spec.name,
            file=Path(where),
            published=frozenset(spec.multi_model.models),
        )
    doing = f"endpoint {where}"
    endpoint = account.find(_describe("Endpoint", EndpointName=where), doing)
    if endpoint is None:
        raise no_endpoint(account, where)
    named = endpoint["EndpointConfigName"]
    config = account.send(_describe("EndpointConfig", EndpointConfigName=named), doing)
    name = config["ProductionVariants"][0]["ModelName"]
    model = account.send(_describe("Model", ModelName=name), doing)
    container = model.get("PrimaryContainer", {})
    if container.get("Mode") != "MultiModel":
        raise UsageError(f"endpoint {where} serves one model: `kennel deploy` changes it")
    return Place(prefix=S3Uri.parse(container["ModelDataUrl"]), endpoint=where)


def _describe(what: str, **parameters: str) -> Call:
    return Call(service="sagemaker", operation=f"Describe{what}", parameters=parameters)


def _show(call: Call) -> int:
    say_json(calls_json([call]))
    return 0


def _told(one: StoredModel, store: ModelStore) -> dict[str, Any]:
    return {
        "name": one.name,
        "target": one.target,
        "uri": str(store.uri(one.name)),
        "bytes": one.num_bytes,
        "since": one.changed_at.isoformat(),
        "from": one.source or None,
    }


def _predict(place: Place, name: str) -> str:
    return f"kennel predict PICTURE --endpoint {place.endpoint} --target-model {target_of(name)}"


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "where", metavar="WHERE", help="a multi-model endpoint, or its deployment, a TOML file"
    )
    parser.add_argument("verb", choices=VERBS, nargs="?", default=VERBS[0], help="default list")
    parser.add_argument("name", metavar="NAME", nargs="?", help="the model's, e.g. dogs/v2")
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        nargs="?",
        help="to add: a run, a bundle, a model.tar.gz, or s3://.../model.tar.gz",
    )
    parser.add_argument("--yes", action="store_true", help="remove: do not ask")
    parser.add_argument("--show", action="store_true", help="print the request, and stop there")
    add_output_format(parser)


MODELS = Command(
    name="models",
    help="list, add or remove the models of a multi-model endpoint",
    description=(
        "A model is an archive below the endpoint's prefix in S3; the endpoint itself stays as it\n"
        "is. A name is never given to another model: instances would go on with the old one.\n"
        "remove asks first."
    ),
    examples=(
        "kennel models dogs-multi",
        "kennel models dogs-multi add dogs/v2 runs/0002-dogs",
        "kennel models jobs/dogs_multi_model.toml remove dogs/v1",
    ),
    add_arguments=_add_arguments,
    run=models,
)
