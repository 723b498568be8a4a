#!/usr/bin/env bash
# The tool of this name in Kafka's own distribution.
exec java -Xmx128m -cp '/opt/kafka/libs/*' org.apache.kafka.tools.TopicCommand "$@"
