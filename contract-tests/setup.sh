#!/usr/bin/env bash
# Makes sure that this machine has what the tests start for real. As root on
# Debian it installs what is missing; elsewhere it says what to install.
set -eu

missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)                       # the race detector needs cgo
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || missing+=(postgresql)
command -v setpriv >/dev/null || missing+=(util-linux)                      # PostgreSQL refuses to run as root
command -v mkfs.ext4 >/dev/null || [ -x /sbin/mkfs.ext4 ] || missing+=(e2fsprogs)   # power-cut harness
command -v tc >/dev/null || [ -x /sbin/tc ] || missing+=(iproute2)          # a line of the kernel's own between site and hub
[ -x /usr/sbin/sshd ] || missing+=(openssh-server)                          # an SFTP peer that nobody here wrote
/usr/bin/python3 -c 'import hl7' 2>/dev/null || missing+=(python3 python3-hl7)      # an MLLP peer that nobody here wrote
command -v npm >/dev/null || missing+=(nodejs npm)                          # for peers that nobody here wrote: FHIR, and HL7 v2 in another language

if [ ${#missing[@]} -eq 0 ]; then
  :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "setup: installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "setup: the tests need these Debian packages (or the like): ${missing[*]}" >&2
  echo "setup: install them, or run this as root" >&2
  exit 1
fi

# npm trusts what the machine trusts, as git and apt do: else it fails behind a proxy that has a CA of its own.
cas=/etc/ssl/certs/ca-certificates.crt
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -f "$cas" ]; then export NODE_EXTRA_CA_CERTS="$cas"; fi

# What Debian does not have, in the versions and with the hashes of lock files.
for dir in fhir/client peers; do
  dir=$(dirname "$0")/$dir
  cmp -s "$dir/package-lock.json" "$dir/node_modules/.installed" && continue
  echo "setup: installing what $dir/package.json names, by npm" >&2
  npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
  cp "$dir/package-lock.json" "$dir/node_modules/.installed"
done
