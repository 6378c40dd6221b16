#!/usr/bin/env bash
# Bring a bare Debian or Ubuntu machine to the point where `make images` works, and print the name
# of the base image to build from as the only line on stdout:
#
#   make images BASE_IMAGE="$(docker/prepare_engine.sh)"
#
# For `make test-containers` it also installs, from Debian:
#   --registry    docker-registry, where the tests of build_and_push.sh push to;
#   --local-mode  docker-compose and pgrep, which the SageMaker SDKs start containers with.
# Every step looks first, so a second run takes a second:
#   1. an engine that answers: else install Debian's and start it;
#   2. a base image: $BASE_IMAGE if given, the public Python image if its registry can be reached,
#      else a Debian made here from packages, kennel-base:bookworm.
set -euo pipefail

public=python:3.11-slim-bookworm # the Dockerfile's default
suite=bookworm
own=kennel-base:$suite
start_seconds=60

note() { echo "prepare_engine: $*" >&2; }
fail() {
  note "$*"
  exit 1
}
answers() { timeout 20 docker version >/dev/null 2>&1; }
# The SDKs take the plugin of version 2, or the standalone program.
has_compose() {
  command -v docker-compose >/dev/null || docker compose version 2>/dev/null | grep -q 'v2\.'
}
has_image() { docker image inspect "$1" >/dev/null 2>&1; }

as_root=()
if ((EUID != 0)); then as_root=(sudo -n); fi

install() { # install PACKAGE...
  command -v apt-get >/dev/null || fail "apt-get is missing; install Docker by hand and set BASE_IMAGE"
  note "installing $*"
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
  {
    timeout 300 "${as_root[@]}" "${apt[@]}" update &&
      timeout 900 "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        "${apt[@]}" install --yes --no-install-recommends "$@"
  } >&2 || fail "apt-get could not install $*"
}

start_engine() {
  local log=/var/log/kennel-dockerd.log
  if [[ -d /run/systemd/system ]]; then
    "${as_root[@]}" systemctl start docker
  else
    note "starting dockerd; its log is $log"
    # In a session of its own with its own output: it outlives us, and nobody waits for its pipe.
    # shellcheck disable=SC2016 # the inner shell's variable
    "${as_root[@]}" sh -c 'exec setsid dockerd >"$1" 2>&1 </dev/null &' sh "$log"
  fi
  local deadline=$((SECONDS + start_seconds))
  until answers; do
    ((SECONDS < deadline)) || fail "the engine does not answer within $start_seconds s; see $log"
    sleep 1
  done
}

# The package mirror that this machine uses for the suite, or Debian's own.
mirror() {
  # shellcheck disable=SC2016 # apt's variables, not ours
  apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' \
    2>/dev/null | awk -v s=$suite '$2 == s && $3 == "main" {print $1; found = 1; exit}
      END {if (!found) print "http://deb.debian.org/debian"}'
}

# What package managers inside the containers need to know about the network here: certificates,
# proxies, a mirror of PyPI. Indexes that are folders of this machine mean nothing in there.
copy_network_settings() { # copy_network_settings ROOT
  local bundle
  for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
    if [[ -s $bundle ]]; then
      "${as_root[@]}" cp "$bundle" "$1/etc/ssl/certs/ca-certificates.crt"
      break
    fi
  done
  { apt-config dump | grep -E '^Acquire::(http|https)::.*[Pp]roxy' || true; } |
    "${as_root[@]}" tee "$1/etc/apt/apt.conf.d/80network" >/dev/null
  {
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n'
    python3 -m pip config list 2>/dev/null | tr -d "'" |
      awk -F= '{key = $1; sub(/.*\./, "", key); value = substr($0, length($1) + 2)}
        key ~ /^(index-url|extra-index-url|trusted-host|proxy)$/ && value !~ /file:/ && !seen[key]++ {
          print key " = " value}' || true
  } | "${as_root[@]}" tee "$1/etc/pip.conf" >/dev/null
}

make_own_base() {
  local packages=()
  command -v debootstrap >/dev/null || packages+=(debootstrap)
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || packages+=(debian-archive-keyring)
  if ((${#packages[@]})); then install "${packages[@]}"; fi
  local root
  root="$("${as_root[@]}" mktemp -d)"
  # shellcheck disable=SC2064 # the folder's name of now
  trap "${as_root[*]} rm -rf --one-file-system '$root'" EXIT
  note "making $own from Debian packages: two minutes"
  timeout 900 "${as_root[@]}" debootstrap --variant=minbase --include=ca-certificates \
    "$suite" "$root/fs" "$(mirror)" >&2 ||
    fail "debootstrap failed; set BASE_IMAGE to an image with python3.11"
  copy_network_settings "$root/fs"
  "${as_root[@]}" tar -C "$root/fs" --numeric-owner --exclude './var/cache/apt/archives/*.deb' \
    --exclude './var/lib/apt/lists/*' -c . | docker import - "$own-root" >/dev/null
  # Python in a second step: debootstrap does not understand its packages' alternatives.
  DOCKER_BUILDKIT=0 timeout 900 docker build --quiet --tag "$own" - >&2 <<DOCKERFILE ||
FROM $own-root
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
CMD ["python3"]
DOCKERFILE
    fail "the engine could not build $own"
}

tools=()
for argument in "$@"; do
  case "$argument" in
    --registry) command -v docker-registry >/dev/null || tools+=(docker-registry openssl) ;;
    --local-mode)
      has_compose || tools+=(docker-compose)
      command -v pgrep >/dev/null || tools+=(procps)
      ;;
    *) fail "unknown argument $argument; expected --registry, --local-mode or nothing" ;;
  esac
done
if ! answers && ! command -v dockerd >/dev/null; then tools+=(docker.io); fi
if ((${#tools[@]})); then install "${tools[@]}"; fi
answers || start_engine
if [[ -n ${BASE_IMAGE:-} ]]; then
  has_image "$BASE_IMAGE" || timeout 600 docker pull "$BASE_IMAGE" >&2 ||
    fail "BASE_IMAGE $BASE_IMAGE is neither here nor in a registry"
  echo "$BASE_IMAGE"
elif has_image "$own"; then
  echo "$own"
elif has_image "$public" || timeout 300 docker pull "$public" >&2; then
  echo "$public"
else
  make_own_base
  echo "$own"
fi
