package example;

import com.azure.identity.ClientAssertionCredentialBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Without the AZURE_ variables: the client assertion is the workload's own token. */
public final class ClientAssertion {
    public static void main(String[] args) throws InterruptedException {
        Show.tokens(args, new ClientAssertionCredentialBuilder()
            .authorityHost(System.getenv("BROKER"))
            .tenantId(System.getenv("TENANT"))
            .clientId(System.getenv("CLIENT_ID"))
            .clientAssertion(ClientAssertion::ownToken)
            .disableInstanceDiscovery()
            .build());
    }

    private static String ownToken() {
        try {
            return Files.readString(Path.of(System.getenv("TOKEN_FILE"))).strip();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
