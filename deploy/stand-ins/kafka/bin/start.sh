#!/usr/bin/env bash
# What the image that this one stands in for does with its variables: KAFKA_SOME_NAME is the property
# some.name (two underscores are one, three are a hyphen). Formats the folder once and runs the broker.
set -euo pipefail

# One cluster for ever: there is nothing to tell apart.
readonly cluster=${CLUSTER_ID:-tidegauge-stand-in-1AA}
readonly properties=/tmp/server.properties secrets=/etc/kafka/secrets

if [[ ${KAFKA_ADVERTISED_LISTENERS:-} == *SSL://* ]]; then
  KAFKA_SSL_KEYSTORE_LOCATION=$secrets/${KAFKA_SSL_KEYSTORE_FILENAME:?}
  KAFKA_SSL_KEYSTORE_PASSWORD=$(cat "$secrets/${KAFKA_SSL_KEYSTORE_CREDENTIALS:?}")
  KAFKA_SSL_KEY_PASSWORD=$(cat "$secrets/${KAFKA_SSL_KEY_CREDENTIALS:?}")
  export KAFKA_SSL_KEYSTORE_LOCATION KAFKA_SSL_KEYSTORE_PASSWORD KAFKA_SSL_KEY_PASSWORD
fi
if [[ ${KAFKA_ADVERTISED_LISTENERS:-} == *SASL_* ]]; then
  : "${KAFKA_OPTS:?}"
fi

env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
  case $name in
    OPTS | HEAP_OPTS | SSL_KEYSTORE_FILENAME | SSL_KEYSTORE_CREDENTIALS | SSL_KEY_CREDENTIALS) continue ;;
  esac
  name=${name,,}
  name=${name//___/-}
  name=${name//__/$'\1'}
  name=${name//_/.}
  echo "${name//$'\1'/_}=$value"
done >"$properties"
java -Xmx128m -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --ignore-formatted \
  --cluster-id "$cluster" --config "$properties"
# shellcheck disable=SC2086  # lists of words
exec java ${KAFKA_HEAP_OPTS:--Xmx512m} ${KAFKA_OPTS:-} -cp '/opt/kafka/libs/*' kafka.Kafka "$properties"
