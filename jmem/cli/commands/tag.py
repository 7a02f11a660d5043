"""`jmem tag`."""

from __future__ import annotations

from jmem.cli.commands.edit import show_changed
from jmem.cli.spec import Argument, Command, Option
from jmem.core.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jmem.cli.args import Args

COMMAND = Command(
    "tag",
    "Give a memory tags, or take them away.",
    run="jmem.cli.commands.tag:run",
    help="Without changes: print its tags.",
    params=(
        Argument("id", "Which memory: any unique part of its id.", metavar="ID", complete="ids"),
        Argument("changes", "+tag gives a tag, -tag takes it away.", many=True, required=False, metavar="+TAG|-TAG"),
        Option("--add", help="Give this tag, whatever it begins with.", many=True, metavar="TAG"),
        Option("--remove", help="Take this tag away.", many=True, metavar="TAG"),
    ),
    examples=(("jmem tag 789abc +work -old", ""), ('jmem tag 789abc --add "to do"', "")),
    signed=True,
)


def run(args: Args) -> int:
    """Change the tags, or print them."""
    add, remove = list(args.add), list(args.remove)
    for word in args.changes:
        if word[:1] not in ("+", "-") or len(word) < 2:
            raise Invalid(f"{word!r} has no sign", code="usage", fix=f"jmem tag {args.id} +{word}   or   -{word}")
        (add if word[0] == "+" else remove).append(word[1:])
    if add or remove:
        show_changed(args, args.daemon.edit(args.id, {"add_tags": add, "remove_tags": remove}))
        return 0
    tags = args.daemon.get(args.id)["tags"]
    if args.out.json:
        args.out.document({"tags": tags})
    else:
        for tag in tags:
            args.out.row(tag)
    return 0
