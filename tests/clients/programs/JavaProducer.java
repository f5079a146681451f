import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

class JavaProducer {
    public static void main(String[] arguments) throws Exception {
        var options = new java.util.HashMap<String, Object>(Map.of("bootstrap.servers", arguments[0]));
        if (arguments[2].equals("round robin")) {
            options.put("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner");
        }
        var text = new StringSerializer();
        try (var producer = new KafkaProducer<String, String>(options, text, text);
                var lines = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line; (line = lines.readLine()) != null; ) {
                var parts = line.split("\t", 2);
                var key = arguments[2].equals("null") ? null : parts[0];
                producer.send(new ProducerRecord<>(arguments[1], key, parts[1]), (sent, error) -> {
                    if (error != null) throw new RuntimeException(error);
                });
            }
        }
    }
}
