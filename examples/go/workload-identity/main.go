// Set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE as on AKS. Then set AZURE_AUTHORITY_HOST to
// the broker, or AZURE_KUBERNETES_TOKEN_PROXY and AZURE_KUBERNETES_CA_FILE, which is AKS's token proxy.
package main

import (
	"context"

	"example/show"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func main() {
	options := azidentity.WorkloadIdentityCredentialOptions{DisableInstanceDiscovery: true, EnableAzureProxy: true}
	credential, err := azidentity.NewWorkloadIdentityCredential(&options)
	if err != nil {
		panic(err)
	}
	show.Tokens(func(scope string) (string, error) {
		token, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
		return token.Token, err
	})
}
