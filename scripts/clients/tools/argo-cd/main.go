// Gets a token as `argocd-k8s-auth azure` of Argo CD v3.5.1 does (cmd/argocd-k8s-auth/commands/azure_cgo.go): with kubelogin
// as a library, whose options are the environment's. Prints it alone.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/Azure/kubelogin/pkg/token"
)

func main() {
	options := token.OptionsWithEnv()
	options.ServerID = os.Getenv("AAD_SERVER_APPLICATION_ID")
	provider, err := token.GetTokenProvider(options)
	if err != nil {
		log.Fatal(err)
	}
	issued, err := provider.GetAccessToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(issued.Token)
}
