// Without the AZURE_ variables: the client assertion is the workload's own token.
package main

import (
	"context"
	"os"
	"strings"

	"example/show"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func main() {
	ownToken := func(context.Context) (string, error) {
		token, err := os.ReadFile(os.Getenv("TOKEN_FILE"))
		return strings.TrimSpace(string(token)), err
	}
	options := azidentity.ClientAssertionCredentialOptions{DisableInstanceDiscovery: true}
	options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: os.Getenv("BROKER")}
	credential, err := azidentity.NewClientAssertionCredential(os.Getenv("TENANT"), os.Getenv("CLIENT_ID"), ownToken, &options)
	if err != nil {
		panic(err)
	}
	show.Tokens(func(scope string) (string, error) {
		token, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
		return token.Token, err
	})
}
