// The code does not mention the broker. IDENTITY_ENDPOINT and IDENTITY_HEADER select the broker or an agent.
package main

import (
	"context"

	"example/show"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func main() {
	credential, err := azidentity.NewManagedIdentityCredential(nil)
	if err != nil {
		panic(err)
	}
	show.Tokens(func(scope string) (string, error) {
		token, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
		return token.Token, err
	})
}
