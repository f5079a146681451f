package peer;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Keeps each user's last 20 amounts and forwards the transactions above 5 times the mean of at least 10. */
final class Score implements Processor<String, byte[], String, byte[]> {
    static final String STORE = "windows";

    private static final int SIZE = 20;
    private static final int MINIMUM = 10;
    private static final long FACTOR = 5;
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final ObjectReader READER = MAPPER.readerFor(Transaction.class);

    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> windows;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        this.windows = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        Transaction transaction = read(record.value());
        long amount = transaction.amount().movePointRight(2).longValueExact();
        byte[] window = windows.get(record.key());
        int count = window == null ? 0 : window.length / Long.BYTES;
        long sum = 0;
        if (window != null) {
            ByteBuffer amounts = ByteBuffer.wrap(window);
            while (amounts.hasRemaining()) {
                sum += amounts.getLong();
            }
        }
        if (count >= MINIMUM && amount * count > FACTOR * sum) {
            context.forward(record.withValue(flagged(transaction, count, sum)));
        }
        windows.put(record.key(), joined(window, count, amount));
    }

    private static byte[] joined(byte[] window, int count, long amount) {
        int kept = Math.min(count, SIZE - 1);
        ByteBuffer joined = ByteBuffer.allocate((kept + 1) * Long.BYTES);
        if (kept > 0) {
            joined.put(window, (count - kept) * Long.BYTES, kept * Long.BYTES);
        }
        return joined.putLong(amount).array();
    }

    private static Transaction read(byte[] value) {
        try {
            return READER.readValue(value);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static byte[] flagged(Transaction transaction, int count, long sum) {
        ObjectNode row = MAPPER.valueToTree(transaction);
        row.put("amount", transaction.amount().setScale(2).toPlainString());
        ObjectNode meta = row.putObject("meta_data");
        meta.put("is_anomaly", true);
        meta.put("window", count);
        meta.put("mean", BigDecimal.valueOf(sum / count, 2).toPlainString());
        try {
            return MAPPER.writeValueAsBytes(row);
        } catch (JsonProcessingException error) {
            throw new UncheckedIOException(error);
        }
    }
}
