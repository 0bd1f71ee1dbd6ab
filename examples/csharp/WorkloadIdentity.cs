#:package Azure.Identity@1.21.0
// Not tested, so that this project does not need .NET. Run it with: dotnet run WorkloadIdentity.cs [scope]
// Set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE as on AKS, and AZURE_AUTHORITY_HOST to the broker.
using Azure.Core;
using Azure.Identity;

var scope = args.Length > 0 ? args[0] : "https://graph.microsoft.com/.default";
var credential = new WorkloadIdentityCredential(new WorkloadIdentityCredentialOptions { DisableInstanceDiscovery = true });
var token = await credential.GetTokenAsync(new TokenRequestContext([scope]));
Console.WriteLine(token.Token);
