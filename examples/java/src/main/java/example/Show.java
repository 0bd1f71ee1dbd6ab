package example;

import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;

/** Prints tokens. */
final class Show {
    private Show() {
    }

    /** Prints a token. With a number of seconds as second argument, waits that long and prints a token again. */
    static void tokens(String[] args, TokenCredential credential) throws InterruptedException {
        String scope = args.length > 0 ? args[0] : "https://graph.microsoft.com/.default";
        try {
            System.out.println(credential.getTokenSync(new TokenRequestContext().addScopes(scope)).getToken());
            if (args.length > 1) {
                Thread.sleep((long) (Double.parseDouble(args[1]) * 1000));
                System.out.println(credential.getTokenSync(new TokenRequestContext().addScopes(scope)).getToken());
            }
        } catch (RuntimeException error) {
            // Some errors of the SDK have the reason only in their cause.
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                System.err.println(cause);
            }
            System.exit(1);
        }
        System.exit(0);
    }
}
