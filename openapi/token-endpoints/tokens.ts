import { Type } from 'typebox'
import { count, guid, open, text } from '../responses.ts'
import type { EndpointWords } from '../endpoint-words.ts'
import { accessToken, application, contoso, expiresIn, graph, tokenResponse, tokenText, tokenType } from './shared.ts'

const token = (summary: string, name = 'default') => ({
  summary,
  value: {
    access_token: tokenText,
    token_type: 'Bearer',
    expires_in: 3122,
    expires_on: 1795384800,
    refresh_in: 2200,
    tenant: contoso,
    scope: graph,
    application: name,
  },
})

/** The texts of `POST /tokens` (`src/http/token-endpoints/tokens.ts`). */
export const words: EndpointWords = {
  operations: {
    issueToken: {
      tag: 'tokens',
      summary: 'Get an access token for a tenant',
      description:
        'Needs a credential: your own token or API key, as `Authorization: Bearer <token>`, or a client certificate.\n\n' +
        'The broker checks in this order: who the caller is (401), whether the request is well-formed (400), whether the ' +
        'policy grants it (403). An unknown tenant, scope, application or agent identity gets the same 403 as a forbidden one. The 403 ' +
        'repeats what was requested, and identifies the caller. A 401 for the audience or the issuer of a token repeats ' +
        'both.\n\n' +
        'The token is the cached one for application, tenant and scope, or a new one from Entra. A cached token is served ' +
        'as long as it is valid, even while Entra is unavailable. All permitted callers get the same token, so you need no ' +
        'cache: request it again whenever you need it, or keep it for `refresh_in` seconds.',
      guarded: true,
      request: {
        name: 'TokenRequest',
        examples: {
          tenant_name: { summary: "By the tenant's name in the policy", value: { tenant: 'contoso', scope: graph } },
          tenant_id: { summary: "By the tenant's id", value: { tenant: contoso, scope: graph } },
          scope_name: { summary: "By the scope's name in the policy", value: { tenant: 'contoso', scope: 'graph' } },
          application: {
            summary: 'Of another application registration',
            value: { tenant: 'contoso', scope: graph, application: 'reporting' },
          },
          agent: {
            summary: 'Of an agent identity of Entra',
            value: { tenant: 'contoso', scope: graph, agent: 'helper' },
          },
          application_client_id: {
            summary: 'Of an application registration, by its client id',
            value: { tenant: 'contoso', scope: graph, application },
          },
          min_expires_in: {
            summary: 'With at least 15 minutes to live',
            value: { tenant: 'contoso', scope: graph, min_expires_in: 900 },
          },
        },
      },
      responses: {
        200: tokenResponse('Token', {
          default: token('Of the default application'),
          application: token('Of another application registration', 'reporting'),
        }),
      },
      examples: {
        invalid_request: ['invalid_request_field'],
        overloaded: ['overloaded', 'overloaded_loop'],
        rate_limited: ['rate_limited', 'rate_limited_exchanges', 'rate_limited_tenant', 'rate_limited_credentials'],
        upstream_unavailable: ['upstream_unavailable', 'upstream_unavailable_min_expires_in'],
      },
    },
  },
  schemas: {
    Token: open(
      {
        access_token: accessToken,
        token_type: tokenType,
        expires_in: expiresIn,
        expires_on: count('When the token expires, in seconds since 1970.'),
        refresh_in: count('Seconds until the broker expects to have a newer token: request it again then.'),
        tenant: guid('The tenant that the token is for: its id, in lower case.'),
        scope: text('The scope that the token is for: as in the request, or what its name stands for.'),
        application: text("The application's name in the policy; for an agent identity, its blueprint's."),
        agent: Type.Optional(text("The agent identity's name in the policy, if the token is of one.")),
      },
      'A token of one application, or one agent identity, for one tenant and resource.',
    ),
  },
}
