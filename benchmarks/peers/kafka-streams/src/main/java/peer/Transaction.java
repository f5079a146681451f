package peer;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import java.math.BigDecimal;

/** A transaction as it stands in the topic. */
@JsonIgnoreProperties(ignoreUnknown = true)
record Transaction(
        String id, String user_id, BigDecimal amount, String currency, String txn_date, String status) {}
