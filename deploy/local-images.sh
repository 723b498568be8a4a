#!/usr/bin/env bash
# Images for the stack where no image registry can be reached: made from Debian's packages and Maven's jars.
#
#   local-images.sh tidegauge BINARY   the image of a tidegauge that has been built already
#   local-images.sh kafka              stands in for apache/kafka, with the jars of deploy/kafka
#   local-images.sh prometheus         stands in for prom/prometheus, Debian's version of it
#
# Several may be named in one call. Prints one NAME=IMAGE line for each, in the form that
# `docker-compose --env-file` reads. Needs a running Docker, root, debootstrap and Debian 12's mirror;
# DEBIAN_MIRROR names another one. The bases are made once and kept as images.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly runtime=tidegauge-local/runtime:bookworm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { echo "local-images: $*" >&2; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 64; }
# Progress goes where it does not mix with the answer.
docker_build() { docker build --network host "$@" >&2; }

# Debian 12 with what the binary needs, as the image that Dockerfile's RUNTIME_IMAGE may name.
make_runtime() {
  docker image inspect "$runtime" >/dev/null 2>&1 && return
  command -v debootstrap >/dev/null || { say "debootstrap is not installed"; exit 1; }
  say "making $runtime"
  debootstrap --variant=minbase --include=ca-certificates,libssl3,zlib1g \
    bookworm "$work/rootfs" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
  rm -rf "$work/rootfs"/var/cache/apt/archives/*.deb "$work/rootfs"/var/lib/apt/lists/*
  tar -C "$work/rootfs" -c . | docker import - "$runtime" >&2
  rm -rf "$work/rootfs"
}

make_tidegauge() {
  local binary=$1 context=$work/tidegauge
  [ -x "$binary" ] || { say "$binary is not a program; build it first"; exit 1; }
  make_runtime
  mkdir "$context"
  # Debugging information would only make the image large.
  strip -o "$context/tidegauge" "$binary" 2>/dev/null || cp "$binary" "$context/tidegauge"
  chmod 0755 "$context/tidegauge"
  docker_build -f "$here/Dockerfile" --target prebuilt --build-arg "RUNTIME_IMAGE=$runtime" \
    --build-arg BINARY=tidegauge -t tidegauge-local/tidegauge "$context"
  echo TIDEGAUGE_IMAGE=tidegauge-local/tidegauge
}

make_kafka() {
  local context=$work/kafka
  make_runtime
  mkdir -p "$context/libs"
  mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$context/libs" -DincludeScope=runtime >&2
  cp -r "$here/stand-ins/kafka/." "$context"
  docker_build --build-arg "RUNTIME_IMAGE=$runtime" -t tidegauge-local/kafka "$context"
  echo KAFKA_IMAGE=tidegauge-local/kafka
}

make_prometheus() {
  make_runtime
  docker_build --build-arg "RUNTIME_IMAGE=$runtime" -t tidegauge-local/prometheus \
    "$here/stand-ins/prometheus"
  echo PROMETHEUS_IMAGE=tidegauge-local/prometheus
}

[ $# -gt 0 ] || usage
docker info >/dev/null 2>&1 || { say "no Docker answers at ${DOCKER_HOST:-its usual socket}"; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    tidegauge) make_tidegauge "${2:?the path of the built binary}"; shift 2 ;;
    kafka) make_kafka; shift ;;
    prometheus) make_prometheus; shift ;;
    *) usage ;;
  esac
done
