package dev.corral.testkit;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

import static org.assertj.core.api.Assertions.assertThat;

/** Reads a stream of server-sent events one by one. A read waits up to the time limit of tests. */
public record ServerSentEventReader(HttpResponse<InputStream> response, BufferedReader lines) implements AutoCloseable {

    /** Opens a stream on the management port of a replica. */
    public static ServerSentEventReader open(InProcessReplica replica, String login, String path)
            throws IOException, InterruptedException {
        HttpRequest request = HttpRequest
                .newBuilder(URI.create("http://127.0.0.1:" + replica.managementPort() + path))
                .timeout(Duration.ofSeconds(30))
                .header("Authorization", login)
                .build();
        HttpResponse<InputStream> answer = replica.http().send(request, BodyHandlers.ofInputStream());
        return new ServerSentEventReader(answer,
                new BufferedReader(new InputStreamReader(answer.body(), StandardCharsets.UTF_8)));
    }

    /** The data of the next event, which must have this name. Empty at the end of the stream. */
    public String next(String name) throws IOException {
        var data = new StringBuilder();
        String event = "";
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.startsWith("event:")) {
                event = line.substring(6);
            } else if (line.startsWith("data:")) {
                data.append(line.substring(5));
            } else if (line.isEmpty() && !data.isEmpty()) {
                assertThat(event).isEqualTo(name);
                return data.toString();
            }
        }
        return "";
    }

    @Override
    public void close() throws IOException {
        response.body().close();
    }
}
