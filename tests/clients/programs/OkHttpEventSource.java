import com.launchdarkly.eventsource.ConnectStrategy;
import com.launchdarkly.eventsource.ErrorStrategy;
import com.launchdarkly.eventsource.EventSource;
import com.launchdarkly.eventsource.MessageEvent;
import java.net.URI;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

class OkHttpEventSource {
    public static void main(String[] arguments) {
        var id = Pattern.compile("\"id\":\"([^\"]+)\"");
        var connect = ConnectStrategy.http(URI.create(arguments[0])).readTimeout(10, TimeUnit.SECONDS);
        try (var source = new EventSource.Builder(connect).errorStrategy(ErrorStrategy.alwaysContinue()).build()) {
            for (MessageEvent event : source.messages()) {
                if (!event.getEventName().equals("message")) continue;
                var found = id.matcher(event.getData());
                found.find();
                System.out.println(found.group(1));
            }
        }
    }
}
