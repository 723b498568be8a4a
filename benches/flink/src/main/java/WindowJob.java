import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The benchmark's windows in Flink SQL, exactly once from Kafka to Parquet, checkpoints every ten seconds.
 *
 * <p>WindowJob BROKERS TOPIC SENSOR_COLUMN WINDOW_SECONDS PARTS OUT_DIR CHECKPOINT_DIR
 *
 * <p>Reads from the start of each partition to 1/PARTS of its present length and ends. Flink's windows hold their
 * start and not their end.
 */
public class WindowJob {
    public static void main(String[] args) throws Exception {
        String brokers = args[0];
        String topic = args[1];
        String sensor = args[2];
        int seconds = Integer.parseInt(args[3]);
        String bounds = bounds(brokers, topic, Long.parseLong(args[4]));
        StreamTableEnvironment tables = StreamTableEnvironment.create(
            StreamExecutionEnvironment.getExecutionEnvironment(settings(args[6])));
        tables.executeSql("CREATE TABLE readings (`TS` TIMESTAMP_LTZ(3), `Device` INT, `" + sensor + "` INT, `Value` DOUBLE,"
            + " WATERMARK FOR `TS` AS `TS` - INTERVAL '5' SECOND) WITH ("
            + "'connector'='kafka','topic'='" + topic + "','properties.bootstrap.servers'='" + brokers + "',"
            + "'properties.group.id'='flink-" + topic + "','scan.startup.mode'='earliest-offset',"
            + "'scan.bounded.mode'='specific-offsets','scan.bounded.specific-offsets'='" + bounds + "',"
            + "'format'='json','json.timestamp-format.standard'='ISO-8601')");
        tables.executeSql("CREATE TABLE lake (device INT, sensor INT, start_at TIMESTAMP(3), n BIGINT, mean DOUBLE,"
            + " deviation DOUBLE, lowest DOUBLE, highest DOUBLE) WITH ("
            + "'connector'='filesystem','path'='file://" + args[5] + "','format'='parquet')");
        tables.executeSql("INSERT INTO lake SELECT `Device`, `" + sensor + "`, window_start, COUNT(*), AVG(`Value`),"
            + " STDDEV_SAMP(`Value`), MIN(`Value`), MAX(`Value`)"
            + " FROM TUMBLE(DATA => TABLE readings, TIMECOL => DESCRIPTOR(`TS`), SIZE => INTERVAL '" + seconds + "' SECOND)"
            + " GROUP BY `Device`, `" + sensor + "`, window_start, window_end").await();
        // Pools of the connectors would keep the process.
        System.exit(0);
    }

    private static Configuration settings(String checkpoints) {
        Configuration settings = new Configuration();
        settings.setString("execution.checkpointing.interval", "10 s");
        settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        settings.setString("execution.checkpointing.dir", "file://" + checkpoints);
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("parallelism.default", String.valueOf(Runtime.getRuntime().availableProcessors()));
        settings.setString("table.local-time-zone", "UTC");
        return settings;
    }

    /** Where to stop in each partition, as the connector wants it. */
    private static String bounds(String brokers, String topic, long parts) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", brokers);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(p -> partitions.add(new TopicPartition(topic, p.partition())));
            List<String> bounds = new ArrayList<>();
            for (Map.Entry<TopicPartition, Long> end : consumer.endOffsets(partitions).entrySet()) {
                bounds.add("partition:" + end.getKey().partition() + ",offset:" + end.getValue() / parts);
            }
            return String.join(";", bounds);
        }
    }
}
