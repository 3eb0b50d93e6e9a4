"""The file `.env` of the working folder: settings of the person who types a command.

What belongs here: whether it is taken, and taking it. What does not: what the variables mean
(`.env.example`). python-dotenv's documentation: "Getting Started".

A command takes its deployment, endpoint and credentials from it. In a folder of another user, such
as one below `/tmp`, it would lead the command to their server.
"""

import os
from pathlib import Path

from dotenv import load_dotenv

from rwt_assets.runtime import StateFolderError

ENV_FILE = Path(".env")
ROOT = 0


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
    own = {os.geteuid(), ROOT}
    try:
        owners = {ENV_FILE.lstat().st_uid, ENV_FILE.stat().st_uid}
    except OSError:
        return  # there is none, or it leads nowhere
    if others := owners - own:
        raise StateFolderError(
            f"the file .env here belongs to another user (uid {min(others)})",
            where=str(ENV_FILE.absolute()),
            effect="Nothing of it was read, and nothing was done.",
            fix="Work in a folder of your own, or copy it there; or make it yours (chown).",
        )
