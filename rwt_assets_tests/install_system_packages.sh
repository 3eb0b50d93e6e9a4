#!/usr/bin/env bash
# Installs the one thing that tests need and pip does not have: Debian's Chromium.
# Where it cannot be installed, the browser tests are skipped and say why.
set -euo pipefail

if [ -x /usr/bin/chromium ]; then
  echo "Chromium is there already: /usr/bin/chromium."
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "There is no apt-get here, so Chromium is not installed: browser tests will be skipped."
  exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo --non-interactive true 2>/dev/null; then
    echo "Neither root nor sudo, so Chromium is not installed: browser tests will be skipped." \
      "To have them run: apt-get install chromium, as root."
    exit 0
  fi
  as_root=(sudo --non-interactive)
fi
echo "Installing Chromium for the browser tests: apt-get install chromium."
if "${as_root[@]}" apt-get update -qq &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends -qq chromium >/dev/null; then
  echo "Installed: Chromium $(dpkg-query --show --showformat '${Version}' chromium)."
else
  echo "apt-get could not install Chromium: browser tests will be skipped."
fi
