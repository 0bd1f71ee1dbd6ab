// Shown, not run by the script. For code that can change: a credential for every client of the Azure SDK.
using System.Net.Http.Json;
using System.Text.Json.Serialization;
using Azure.Core;

public sealed class BrokerCredential(HttpClient http, string tenant, string tokenFile) : TokenCredential
{
    private sealed record Answer([property: JsonPropertyName("access_token")] string Token, [property: JsonPropertyName("expires_on")] long ExpiresOn);

    public override async ValueTask<AccessToken> GetTokenAsync(TokenRequestContext context, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/tokens") { Content = JsonContent.Create(new { tenant, scope = context.Scopes[0] }) };
        request.Headers.Authorization = new("Bearer", (await File.ReadAllTextAsync(tokenFile, cancellation)).Trim());
        using var response = await http.SendAsync(request, cancellation);
        if (!response.IsSuccessStatusCode) throw new HttpRequestException(await response.Content.ReadAsStringAsync(cancellation));
        var answer = await response.Content.ReadFromJsonAsync<Answer>(cancellation);
        return new AccessToken(answer!.Token, DateTimeOffset.FromUnixTimeSeconds(answer.ExpiresOn));
    }

    public override AccessToken GetToken(TokenRequestContext context, CancellationToken cancellation) =>
        GetTokenAsync(context, cancellation).AsTask().GetAwaiter().GetResult();
}
