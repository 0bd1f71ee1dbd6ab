#:package Azure.Identity@1.21.0
// Not tested, so that this project does not need .NET. Run it with: dotnet run ManagedIdentity.cs [scope]
// The code does not mention the broker. IDENTITY_ENDPOINT and IDENTITY_HEADER select the broker or an agent.
using Azure.Core;
using Azure.Identity;

var scope = args.Length > 0 ? args[0] : "https://graph.microsoft.com/.default";
var credential = new ManagedIdentityCredential(ManagedIdentityId.SystemAssigned);
var token = await credential.GetTokenAsync(new TokenRequestContext([scope]));
Console.WriteLine(token.Token);
