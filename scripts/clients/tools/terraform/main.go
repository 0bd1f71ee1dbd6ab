// Gets a token with HashiCorp's own authorizer, as Terraform's providers azurerm and azuread do with
// ARM_USE_MSI=true and ARM_MSI_ENDPOINT. The arguments are a scope, and seconds to wait for another token.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

func main() {
	resource := strings.TrimSuffix(os.Args[1], "/.default")
	authorizer, err := auth.NewManagedIdentityAuthorizer(context.Background(), auth.ManagedIdentityAuthorizerOptions{
		Api:                           environments.NewApiEndpoint("resource", resource, nil),
		CustomManagedIdentityEndpoint: os.Getenv("ARM_MSI_ENDPOINT"),
	})
	if err != nil {
		log.Fatal(err)
	}
	show(authorizer)
	if len(os.Args) > 2 {
		seconds, err := strconv.Atoi(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		time.Sleep(time.Duration(seconds) * time.Second)
		show(authorizer)
	}
}

func show(authorizer auth.Authorizer) {
	token, err := authorizer.Token(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.AccessToken)
}
