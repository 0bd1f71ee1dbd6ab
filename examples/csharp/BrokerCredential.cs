#:package Azure.Identity@1.21.0
// Without AOT, with which a program of one file could not read and write JSON as below.
#:property PublishAot=false
// Not tested. A credential for all clients of the Azure SDK, for programs whose code you can change.
// Run it with: dotnet run BrokerCredential.cs [scope]. Set BROKER (https://broker.example), TENANT and TOKEN_FILE.
using System.Net.Http.Json;
using System.Text.Json.Serialization;
using Azure.Core;

var scope = args.Length > 0 ? args[0] : "https://graph.microsoft.com/.default";
// The credential needs a client whose BaseAddress is the broker. Keep one client for the life of the program.
using var broker = new HttpClient { BaseAddress = new Uri(Read("BROKER")) };
var credential = new BrokerCredential(broker, Read("TENANT"), Read("TOKEN_FILE"));
var token = await credential.GetTokenAsync(new TokenRequestContext([scope]), CancellationToken.None);
Console.WriteLine(token.Token);

static string Read(string name) =>
    Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException($"{name} is not set");

/// <param name="http">with the broker as its BaseAddress</param>
public sealed class BrokerCredential(HttpClient http, string tenant, string tokenFile) : TokenCredential
{
    private sealed record TokenResponse([property: JsonPropertyName("access_token")] string Token, [property: JsonPropertyName("expires_on")] long ExpiresOn);

    public override async ValueTask<AccessToken> GetTokenAsync(TokenRequestContext context, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/tokens") { Content = JsonContent.Create(new { tenant, scope = context.Scopes[0] }) };
        request.Headers.Authorization = new("Bearer", (await File.ReadAllTextAsync(tokenFile, cancellation)).Trim());
        using var response = await http.SendAsync(request, cancellation);
        if (!response.IsSuccessStatusCode) throw new HttpRequestException(await response.Content.ReadAsStringAsync(cancellation));
        var token = await response.Content.ReadFromJsonAsync<TokenResponse>(cancellation);
        return new AccessToken(token!.Token, DateTimeOffset.FromUnixTimeSeconds(token.ExpiresOn));
    }

    public override AccessToken GetToken(TokenRequestContext context, CancellationToken cancellation) =>
        GetTokenAsync(context, cancellation).AsTask().GetAwaiter().GetResult();
}
