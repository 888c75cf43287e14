package dev.corral.deploy;

import java.nio.file.Path;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.xpath.XPathFactory;

/** Reads values from the project's pom.xml. */
final class ProjectPom {

    private ProjectPom() {}

    /** The text at the XPath. */
    static String read(String path) {
        try {
            var document = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(Path.of("pom.xml").toFile());
            return XPathFactory.newInstance().newXPath().evaluate(path, document).strip();
        } catch (Exception e) {
            throw new IllegalStateException("cannot read pom.xml", e);
        }
    }
}
