package example;

import com.azure.identity.ManagedIdentityCredentialBuilder;

/** IDENTITY_ENDPOINT and IDENTITY_HEADER lead to the broker or to an agent; nothing here knows. */
public final class ManagedIdentity {
    public static void main(String[] args) throws InterruptedException {
        Show.tokens(args, new ManagedIdentityCredentialBuilder().build());
    }
}
