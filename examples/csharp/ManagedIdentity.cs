// Shown, not run by the script: no .NET is needed to work on this project.
// IDENTITY_ENDPOINT and IDENTITY_HEADER lead to the broker or to an agent; nothing here knows.
using Azure.Core;
using Azure.Identity;

var scope = args.Length > 0 ? args[0] : "https://graph.microsoft.com/.default";
var credential = new ManagedIdentityCredential();
var token = await credential.GetTokenAsync(new TokenRequestContext([scope]));
Console.WriteLine(token.Token);
