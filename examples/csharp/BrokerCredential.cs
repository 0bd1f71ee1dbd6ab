// Not tested. A credential for all clients of the Azure SDK, for programs whose code you can change.
using System.Net.Http.Json;
using System.Text.Json.Serialization;
using Azure.Core;

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
