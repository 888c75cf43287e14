package dev.corral.proxy;

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
final class Rfc9112RequestParser {

    /** One request. */
    record ParsedRequest(String method, String target, String body) {}

    /**
     * What the bytes are.
     *
     * @param requests those that are whole and proper, in their order
     * @param complete whether nothing follows them, so that nothing is to be refused either
     * @param headOnly whether the head of what follows is proper, and its body is not: it may be answered before that is seen
     */
    record ParseResult(List<ParsedRequest> requests, boolean complete, boolean headOnly) {}

    private static final String TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
    private static final Pattern LINE = Pattern.compile("(" + TOKEN + ") ([!-~\u0080-\u00ff]+) HTTP/1\\.([01])");
    private static final Pattern FIELD = Pattern.compile("(" + TOKEN + "):[ \t]*([\t -~\u0080-\u00ff]*?)[ \t]*");
    private static final Pattern HOST = Pattern.compile("([A-Za-z0-9._~!$&'()*+,;=%-]*|\\[[0-9A-Fa-f:.]+])(:[0-9]*)?");
    private static final Pattern CHUNK = Pattern.compile("([0-9A-Fa-f]{1,8})(([ \t]*;[ \t]*" + TOKEN + "([ \t]*=[ \t]*("
            + TOKEN + "|\"([\t !#-\\[\\]-~\u0080-\u00ff]|\\\\[\t -~\u0080-\u00ff])*\"))?)*)");

    /** What is no request. */
    private static final class MalformedRequestException extends Exception {

        private static final long serialVersionUID = 1L;
    }

    private final String text;
    private int position;
    private boolean inBody;

    private Rfc9112RequestParser(String text) {
        this.text = text;
    }

    /** Reads one character for each byte. */
    static ParseResult parse(byte[] bytes) {
        var reader = new Rfc9112RequestParser(new String(bytes, StandardCharsets.ISO_8859_1));
        var requests = new ArrayList<ParsedRequest>();
        try {
            while (reader.position < reader.text.length()) {
                requests.add(reader.parseRequest());
            }
            return new ParseResult(requests, true, false);
        } catch (MalformedRequestException improper) {
            return new ParseResult(requests, false, reader.inBody);
        }
    }

    private ParsedRequest parseRequest() throws MalformedRequestException {
        Matcher line = match(LINE, nextRequestLine());
        boolean old = line.group(3).equals("0");
        List<String[]> fields = parseFields();
        List<String> hosts = valuesOf(fields, "host");
        List<String> lengths = valuesOf(fields, "content-length");
        List<String> codings = valuesOf(fields, "transfer-encoding");
        require(hosts.size() == 1 || (old && hosts.isEmpty()));
        require(hosts.stream().allMatch(host -> HOST.matcher(host).matches()));
        require(lengths.size() <= 1 && lengths.stream().allMatch(length -> length.matches("[0-9]{1,9}")));
        require(codings.size() <= 1 && codings.stream().allMatch("chunked"::equalsIgnoreCase));
        require(codings.isEmpty() || (lengths.isEmpty() && !old));
        inBody = true;
        String body = codings.isEmpty() ? "" : parseChunks();
        if (!lengths.isEmpty()) {
            body = take(Integer.parseInt(lengths.getFirst(), 10));
        }
        inBody = false;
        return new ParsedRequest(line.group(1), line.group(2), body);
    }

    /** Section 2.2: an empty line before a request is no request; nothing else may stand there. */
    private String nextRequestLine() throws MalformedRequestException {
        while (text.startsWith("\r\n", position)) {
            position += 2;
        }
        return nextLine();
    }

    private List<String[]> parseFields() throws MalformedRequestException {
        var fields = new ArrayList<String[]>();
        for (String line = nextLine(); !line.isEmpty(); line = nextLine()) {
            if ((line.startsWith(" ") || line.startsWith("\t")) && !fields.isEmpty()) {
                // Section 5.2.
                String[] before = fields.getLast();
                require(line.chars().allMatch(c -> c == '\t' || (c >= ' ' && c != 0x7f)));
                before[1] = (before[1] + " " + line.strip()).strip();
            } else {
                Matcher field = match(FIELD, line);
                fields.add(new String[]{field.group(1).toLowerCase(Locale.ROOT), field.group(2)});
            }
        }
        return fields;
    }

    private String parseChunks() throws MalformedRequestException {
        var body = new StringBuilder();
        while (true) {
            int size = Integer.parseInt(match(CHUNK, nextLine()).group(1), 16);
            if (size == 0) {
                parseFields();
                return body.toString();
            }
            body.append(take(size));
            require(nextLine().isEmpty());
        }
    }

    private String take(int length) throws MalformedRequestException {
        require(length >= 0 && length <= text.length() - position);
        position += length;
        return text.substring(position - length, position);
    }

    /** The next line, without its end; a carriage return or a line feed alone is none. */
    private String nextLine() throws MalformedRequestException {
        int end = text.indexOf("\r\n", position);
        require(end >= 0);
        String line = text.substring(position, end);
        require(line.indexOf('\r') < 0 && line.indexOf('\n') < 0);
        position = end + 2;
        return line;
    }

    private static Matcher match(Pattern pattern, String text) throws MalformedRequestException {
        Matcher matcher = pattern.matcher(text);
        require(matcher.matches());
        return matcher;
    }

    private static List<String> valuesOf(List<String[]> fields, String name) {
        return fields.stream().filter(field -> field[0].equals(name)).map(field -> field[1]).toList();
    }

    private static void require(boolean holds) throws MalformedRequestException {
        if (!holds) {
            throw new MalformedRequestException();
        }
    }
}
