#!/usr/bin/env bash
# Installs what the cluster on this machine needs and pip does not have, from Debian's packages.
# The cluster starts the servers itself, so those that the packages would start are not needed.
set -euo pipefail

missing=()
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || missing+=(postgresql)
command -v ip >/dev/null || missing+=(iproute2)
if [ ${#missing[@]} -eq 0 ]; then
  echo "PostgreSQL, RabbitMQ and iproute2 are there already."
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "There is no apt-get here; the cluster needs: ${missing[*]}." >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi
echo "Installing: apt-get install ${missing[*]}."
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
  apt-get install --yes --no-install-recommends -qq "${missing[@]}" >/dev/null
echo "Installed."
