package mrse.peer;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;

/** A digest over the files of a folder. */
final class Fingerprint {

    private Fingerprint() {}

    static String of(File folder) throws Exception {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        List<Path> files;
        try (Stream<Path> walk = Files.walk(folder.toPath())) {
            files = walk.filter(Files::isRegularFile).sorted().toList();
        } catch (IOException error) {
            throw new IllegalArgumentException("no package in " + folder, error);
        }
        for (Path file : files) {
            digest.update(file.toString().getBytes());
            digest.update(Files.readAllBytes(file));
        }
        return HexFormat.of().formatHex(digest.digest());
    }
}
