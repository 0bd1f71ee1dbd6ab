// Not tested, so that this project does not need .NET.
// The code does not mention the broker. IDENTITY_ENDPOINT and IDENTITY_HEADER select the broker or an agent.
using Azure.Core;
using Azure.Identity;

var scope = args.Length > 0 ? args[0] : "https://graph.microsoft.com/.default";
var credential = new ManagedIdentityCredential();
var token = await credential.GetTokenAsync(new TokenRequestContext([scope]));
Console.WriteLine(token.Token);
