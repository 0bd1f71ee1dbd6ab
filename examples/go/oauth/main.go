// A standard OAuth library: client credentials with the workload's own token as client assertion (RFC 7523 section 2.2).
package main

import (
	"context"
	"net/url"
	"os"
	"strings"

	"example/show"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	show.Tokens(func(scope string) (string, error) {
		ownToken, err := os.ReadFile(os.Getenv("TOKEN_FILE"))
		if err != nil {
			return "", err
		}
		config := clientcredentials.Config{
			ClientID:  "unused",
			TokenURL:  os.Getenv("BROKER") + "/oauth2/token",
			Scopes:    []string{scope},
			AuthStyle: oauth2.AuthStyleInParams,
			EndpointParams: url.Values{
				"tenant":                {os.Getenv("TENANT")},
				"client_assertion":      {strings.TrimSpace(string(ownToken))},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			},
		}
		token, err := config.Token(context.Background())
		if err != nil {
			return "", err
		}
		return token.AccessToken, nil
	})
}
