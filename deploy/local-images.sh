#!/usr/bin/env bash
# Images for the stack where no image registry can be reached: made from Debian's packages and Maven's jars.
#
#   local-images.sh tidegauge BINARY   the image of a tidegauge that has been built already
#   local-images.sh kafka              stands in for apache/kafka, with the jars of deploy/kafka
#   local-images.sh prometheus         stands in for prom/prometheus, Debian's version of it
#
# Several may be named in one call. Prints one NAME=IMAGE line for each, in the form that
# `docker-compose --env-file` reads. Needs a running Docker, root, debootstrap, cargo and Debian 12's mirror;
# DEBIAN_MIRROR names another one. What does not change with tidegauge is made once and kept, as images
# and as files in ${XDG_CACHE_HOME:-~/.cache}/tidegauge/images, so that another Docker need not make it again.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly runtime=tidegauge-local/runtime:bookworm
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidegauge/images

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { echo "local-images: $*" >&2; }
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 64; }
# Progress goes where it does not mix with the answer. The builder of every Docker: what is made here is small.
docker_build() { DOCKER_BUILDKIT=0 docker build --network host "$@" >&2; }

# An image that is kept: from this Docker, else from its file, else made by a function. Its tag names what it
# was made of, so a changed recipe makes a new one.
kept() { # IMAGE MAKER
  docker image inspect "$1" >/dev/null 2>&1 && return
  local file
  file=$cache/$(tr '/:' '--' <<<"$1").tar
  if [ -e "$file" ] && docker load -q -i "$file" >&2; then
    docker image inspect "$1" >/dev/null 2>&1 && return
  fi
  say "making $1"
  "$2" "$1"
  mkdir -p "$cache"
  # Under its name only when it is whole.
  docker save "$1" >"$file.$$" && mv "$file.$$" "$file"
}

recipe() { # NAME FILE... : an image's name with what the files say
  local name=$1
  shift
  echo "tidegauge-local/$name:$(cat "$@" | sha256sum | cut -c1-12)"
}

# Debian 12 with what the binary needs, as the image that Dockerfile's RUNTIME_IMAGE may name.
runtime_image() {
  command -v debootstrap >/dev/null || { say "debootstrap is not installed"; exit 1; }
  debootstrap --variant=minbase --include=ca-certificates,libssl3,libstdc++6,zlib1g \
    bookworm "$work/rootfs" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
  rm -rf "$work/rootfs"/var/cache/apt/archives/*.deb "$work/rootfs"/var/lib/apt/lists/*
  tar -C "$work/rootfs" -c . | docker import - "$1" >&2
  rm -rf "$work/rootfs"
}

kafka_image() {
  local context=$work/kafka
  kept "$runtime" runtime_image
  mkdir -p "$context/libs"
  mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$context/libs" -DincludeScope=runtime >&2
  cp -r "$here/stand-ins/kafka/." "$context"
  docker_build --build-arg "RUNTIME_IMAGE=$runtime" -t "$1" "$context"
}

prometheus_image() {
  kept "$runtime" runtime_image
  docker_build --build-arg "RUNTIME_IMAGE=$runtime" -t "$1" "$here/stand-ins/prometheus"
}

make_tidegauge() {
  local binary=$1 context=$work/tidegauge
  [ -x "$binary" ] || { say "$binary is not a program; build it first"; exit 1; }
  kept "$runtime" runtime_image
  mkdir -p "$context/deploy"
  cp "$here/rootfs" "$context/deploy"
  "$here/sbom" rust >"$context/sbom-rust.cdx.json"
  # Debugging information would only make the image large.
  strip -o "$context/tidegauge" "$binary" 2>/dev/null || cp "$binary" "$context/tidegauge"
  chmod 0755 "$context/tidegauge"
  docker_build -f "$here/Dockerfile" --target prebuilt --build-arg "RUNTIME_IMAGE=$runtime" \
    --build-arg "VERSION=$("$binary" --version | cut -d' ' -f2)" \
    --build-arg "REVISION=$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)" \
    -t tidegauge-local/tidegauge "$context"
  echo TIDEGAUGE_IMAGE=tidegauge-local/tidegauge
}

make_kafka() {
  local image
  image=$(recipe kafka "$here/kafka/pom.xml" "$here/stand-ins/kafka/Dockerfile" "$here/stand-ins/kafka/bin/"*)
  kept "$image" kafka_image
  echo "KAFKA_IMAGE=$image"
}

make_prometheus() {
  local image
  image=$(recipe prometheus "$here/stand-ins/prometheus/Dockerfile")
  kept "$image" prometheus_image
  echo "PROMETHEUS_IMAGE=$image"
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
