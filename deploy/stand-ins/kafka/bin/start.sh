#!/usr/bin/env bash
# Turns KAFKA_SOME_NAME into the property some.name, formats the folder once and runs the broker.
set -euo pipefail

# One cluster for ever: there is nothing to tell apart.
readonly cluster=tidegauge-stand-in-1AA
readonly properties=/tmp/server.properties

env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
  name=${name,,}
  echo "${name//_/.}=$value"
done >"$properties"
java -Xmx128m -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --ignore-formatted \
  --cluster-id "$cluster" --config "$properties"
exec java "-Xmx${HEAP:-512m}" -cp '/opt/kafka/libs/*' kafka.Kafka "$properties"
