"""Secrets: the password of encrypted archives.

What belongs here: where a secret is read, at run time. What does not: what it opens
(`encryption.py`). A secret is no setting of a feed and no configuration of a resource, since
Dagster keeps and shows both: the feed names a variable, the environment has the value, and
it travels as `SecretStr`, which no log, error or representation shows. Dagster
documentation: "Resources", "Using environment variables and secrets in Dagster code".
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping

import dagster as dg
from pydantic import SecretStr

from rwt_assets.runtime import keep_out_of_logs


class SecretsResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Gives assets their secrets; tests put one with known values in its place."""

    @abstractmethod
    def read(self, variable: str | None) -> SecretStr | None:
        """The secret under this name; None if there is no name, or nothing under it."""


class EnvironmentSecretsResource(SecretsResource):
    """Secrets in the environment of the process that runs the asset."""

    def read(self, variable: str | None) -> SecretStr | None:
        """The value of an environment variable; an empty one is none."""
        return read_secret(os.environ, variable)


def read_secret(environment: Mapping[str, str], variable: str | None) -> SecretStr | None:
    """A secret from an environment."""
    value = environment.get(variable, "") if variable else ""
    keep_out_of_logs(value)
    return SecretStr(value) if value else None
