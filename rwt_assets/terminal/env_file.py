"""The file `.env` of the working folder: settings of the person who types a command.

What belongs here: whether it is taken, and taking it. What does not: what the variables mean
(`.env.example`). python-dotenv's documentation: "Getting Started".

A command takes its deployment, endpoint and credentials from it. In a folder of another user, such
as one below `/tmp`, it would lead the command to their server.
"""

import os
from pathlib import Path

from dotenv import load_dotenv

from rwt_assets.embedded.state_folder import ROOT, link_of_others
from rwt_assets.runtime import StateFolderError

ENV_FILE = Path(".env")


def load_env_file() -> None:
    """Add the variables of `.env` to the environment; those that are set stay.

    Raises:
        StateFolderError: it is another user's.
    """
    refuse_env_file_of_others()
    load_dotenv(ENV_FILE)


def refuse_env_file_of_others() -> None:
    """Raise if there is a `.env` here that another user owns, or that is their link.

    Raises:
        StateFolderError: there is.
    """
    try:
        owner = ENV_FILE.stat().st_uid
    except OSError:
        return  # there is none, or it leads nowhere
    theirs = "" if owner in {os.geteuid(), ROOT} else f" (uid {owner})"
    if theirs or link_of_others(ENV_FILE):
        raise StateFolderError(
            f"the file .env here belongs to another user{theirs}",
            where=str(ENV_FILE.absolute()),
            effect="Nothing of it was read, and nothing was done.",
            fix="Work in a folder of your own, or copy it there; or make it yours (chown).",
        )
