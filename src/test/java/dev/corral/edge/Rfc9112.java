package dev.corral.edge;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads bytes as the requests that RFC 9112 says they are, one after the other, up to the first that is none. Written for tests, from
 * the grammar. Where the RFC leaves a choice it takes the one by which no two servers differ: no bare line feed, no length beside a
 * coding, no repeated length.
 */
final class Rfc9112 {

    /** One request. */
    record Request(String method, String target, String body) {}

    /**
     * What the bytes are.
     *
     * @param requests those that are whole and proper, in their order
     * @param complete whether nothing follows them, so that nothing is to be refused either
     * @param headOnly whether the head of what follows is proper, and its body is not: it may be answered before that is seen
     */
    record Reading(List<Request> requests, boolean complete, boolean headOnly) {}

    private static final String TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
    private static final Pattern LINE = Pattern.compile("(" + TOKEN + ") ([!-~\u0080-\u00ff]+) HTTP/1\\.([01])");
    private static final Pattern FIELD = Pattern.compile("(" + TOKEN + "):[ \t]*([\t -~\u0080-\u00ff]*?)[ \t]*");
    private static final Pattern HOST = Pattern.compile("([A-Za-z0-9._~!$&'()*+,;=%-]*|\\[[0-9A-Fa-f:.]+])(:[0-9]*)?");
    private static final Pattern CHUNK = Pattern.compile("([0-9A-Fa-f]{1,8})(([ \t]*;[ \t]*" + TOKEN + "([ \t]*=[ \t]*("
            + TOKEN + "|\"([\t !#-\\[\\]-~\u0080-\u00ff]|\\\\[\t -~\u0080-\u00ff])*\"))?)*)");

    /** What is no request. */
    private static final class Improper extends Exception {

        private static final long serialVersionUID = 1L;
    }

    private final String text;
    private int at;
    private boolean inBody;

    private Rfc9112(String text) {
        this.text = text;
    }

    /** Reads one character for each byte. */
    static Reading read(byte[] bytes) {
        var reader = new Rfc9112(new String(bytes, StandardCharsets.ISO_8859_1));
        var requests = new ArrayList<Request>();
        try {
            while (reader.at < reader.text.length()) {
                requests.add(reader.request());
            }
            return new Reading(requests, true, false);
        } catch (Improper improper) {
            return new Reading(requests, false, reader.inBody);
        }
    }

    private Request request() throws Improper {
        Matcher line = matched(LINE, requestLine());
        boolean old = line.group(3).equals("0");
        List<String[]> fields = fields();
        List<String> hosts = all(fields, "host");
        List<String> lengths = all(fields, "content-length");
        List<String> codings = all(fields, "transfer-encoding");
        require(hosts.size() == 1 || (old && hosts.isEmpty()));
        require(hosts.stream().allMatch(host -> HOST.matcher(host).matches()));
        require(lengths.size() <= 1 && lengths.stream().allMatch(length -> length.matches("[0-9]{1,9}")));
        require(codings.size() <= 1 && codings.stream().allMatch("chunked"::equalsIgnoreCase));
        require(codings.isEmpty() || (lengths.isEmpty() && !old));
        inBody = true;
        String body = codings.isEmpty() ? "" : chunks();
        if (!lengths.isEmpty()) {
            body = take(Integer.parseInt(lengths.getFirst(), 10));
        }
        inBody = false;
        return new Request(line.group(1), line.group(2), body);
    }

    /**
     * Section 2.2: an empty line before a request is no request. Section 3: any white space may be taken for the blank, a carriage
     * return too. Netty does both, and skips any control character before a request; where a request ends is the same to all.
     */
    private String requestLine() throws Improper {
        while (at < text.length() && text.charAt(at) <= ' ') {
            at++;
        }
        int end = text.indexOf("\r\n", at);
        require(end >= 0);
        String line = text.substring(at, end);
        at = end + 2;
        return line.replaceAll("[ \t\u000b\f\r]+", " ");
    }

    private List<String[]> fields() throws Improper {
        var fields = new ArrayList<String[]>();
        for (String line = line(); !line.isEmpty(); line = line()) {
            if ((line.startsWith(" ") || line.startsWith("\t")) && !fields.isEmpty()) {
                // Section 5.2.
                String[] before = fields.getLast();
                require(line.chars().allMatch(c -> c == '\t' || (c >= ' ' && c != 0x7f)));
                before[1] = (before[1] + " " + line.strip()).strip();
            } else {
                Matcher field = matched(FIELD, line);
                fields.add(new String[]{field.group(1).toLowerCase(Locale.ROOT), field.group(2)});
            }
        }
        return fields;
    }

    private String chunks() throws Improper {
        var body = new StringBuilder();
        while (true) {
            int size = Integer.parseInt(matched(CHUNK, line()).group(1), 16);
            if (size == 0) {
                fields();
                return body.toString();
            }
            body.append(take(size));
            require(line().isEmpty());
        }
    }

    private String take(int length) throws Improper {
        require(length >= 0 && length <= text.length() - at);
        at += length;
        return text.substring(at - length, at);
    }

    /** The next line, without its end; a carriage return or a line feed alone is none. */
    private String line() throws Improper {
        int end = text.indexOf("\r\n", at);
        require(end >= 0);
        String line = text.substring(at, end);
        require(line.indexOf('\r') < 0 && line.indexOf('\n') < 0);
        at = end + 2;
        return line;
    }

    private static Matcher matched(Pattern pattern, String text) throws Improper {
        Matcher matcher = pattern.matcher(text);
        require(matcher.matches());
        return matcher;
    }

    private static List<String> all(List<String[]> fields, String name) {
        return fields.stream().filter(field -> field[0].equals(name)).map(field -> field[1]).toList();
    }

    private static void require(boolean holds) throws Improper {
        if (!holds) {
            throw new Improper();
        }
    }
}
