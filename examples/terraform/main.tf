# A token of a customer's tenant for a provider that takes one, such as `http` or `restapi`. azurerm and azuread need none:
# they use an agent by themselves (docs/clients.md#terraform).
#
# Terraform writes the results of data sources into its state: the state then has a token that is valid for up to an hour.
# Use a backend that encrypts it, and that only its owners read.
terraform {
  required_providers {
    external = {
      source  = "hashicorp/external"
      version = "2.4.0"
    }
  }
}

data "external" "contoso" {
  program = [
    "token-broker", "token",
    "--broker=https://broker.example",
    "--tenant=contoso",
    "--scope=https://graph.microsoft.com/.default",
    "--token-file=/run/token",
    "--output=terraform",
  ]
}

output "token" {
  value     = data.external.contoso.result.access_token
  sensitive = true
}

output "expires_on" {
  value = data.external.contoso.result.expires_on # seconds since 1970
}
