package example;

import com.azure.identity.ManagedIdentityCredentialBuilder;

/** The code does not mention the broker. IDENTITY_ENDPOINT and IDENTITY_HEADER select the broker or an agent. */
public final class ManagedIdentity {
    public static void main(String[] args) throws InterruptedException {
        Show.tokens(args, new ManagedIdentityCredentialBuilder().build());
    }
}
