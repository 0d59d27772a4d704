"""The command that made a result, recorded and published."""

import shlex

from telephonegan.provenance import command_line, without_places


def test_the_command_can_be_pasted_into_a_shell():
    given = ["train", "damsm", "--data", "/home/ann/my photos", "--set", "name=a;b"]
    assert shlex.split(command_line(given)) == ["telephonegan", *given]


def test_a_published_command_tells_no_places_of_this_machine():
    command = (
        "telephonegan train attngan --data '/home/ann/my photos/' --damsm=/home/ann/damsm --run runs/a --set x=/y/z"
    )
    assert shlex.split(without_places(command)) == [
        *("telephonegan", "train", "attngan", "--data", "my photos"),
        *("--damsm=damsm", "--run", "runs/a", "--set", "x=z"),
    ]
