// Runs the generator Webhook of External Secrets with a Kubernetes API that has one Secret, and prints the token alone.
// The arguments are the generator and the Secret, as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/external-secrets/external-secrets/pkg/generator/webhook"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func main() {
	var secret corev1.Secret
	if err := json.Unmarshal([]byte(os.Args[2]), &secret); err != nil {
		log.Fatal(err)
	}
	cluster := fake.NewClientBuilder().WithObjects(&secret).Build()
	generator := &apiextensions.JSON{Raw: []byte(os.Args[1])}
	values, _, err := (&webhook.Webhook{}).Generate(context.Background(), generator, cluster, secret.Namespace)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(values["access_token"]))
}
