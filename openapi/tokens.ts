import { headersOf, json, type Description } from './components.ts'

const graph = 'https://graph.microsoft.com/.default'
const contoso = '1a2b3c4d-0000-4000-8000-000000000002'

const token = (summary: string, application = 'default') => ({
  summary,
  value: {
    access_token: 'eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJ0aWQiOiIuLi4ifQ.c2lnbmF0dXJl',
    token_type: 'Bearer',
    expires_in: 3122,
    expires_on: 1795384800,
    refresh_in: 2200,
    tenant: contoso,
    scope: graph,
    application,
  },
})

/** The words for the operations of `tokens.ts`. */
export const tokenOperations: Readonly<Record<string, Description>> = {
  issueToken: {
    tag: 'tokens',
    summary: 'Get an access token for a tenant',
    description:
      'Needs a credential: your own token or API key, as `Authorization: Bearer <token>`, or a client certificate.\n\n' +
      'Asked in this order: who calls (401), whether the request is well-formed (400), whether the policy grants it ' +
      '(403). A tenant or application that the policy does not know gets the same 403 as one that is forbidden.\n\n' +
      'The token is the one that is held for application, tenant and scope, or a new one of Entra. A token that is held ' +
      'is served as long as it is valid, whatever happens upstream. All callers that may have it get the same token, so ' +
      'it needs no cache of yours: ask again whenever you need it, or keep it for `refresh_in` seconds.',
    guarded: true,
    request: {
      name: 'TokenRequest',
      examples: {
        tenant_name: { summary: "By the tenant's name in the policy", value: { tenant: 'contoso', scope: graph } },
        tenant_id: { summary: "By the tenant's id", value: { tenant: contoso, scope: graph } },
        application: {
          summary: 'Of another application registration',
          value: { tenant: 'contoso', scope: graph, application: 'reporting' },
        },
        min_expires_in: {
          summary: 'With at least 15 minutes to live',
          value: { tenant: 'contoso', scope: graph, min_expires_in: 900 },
        },
      },
    },
    answers: {
      200: {
        description: 'The token.',
        headers: headersOf('Cache-Status', 'Cache-Control', 'Pragma', 'RateLimit-Policy', 'RateLimit'),
        content: json('Token', {
          default: token('Of the default application'),
          application: token('Of another application registration', 'reporting'),
        }),
      },
    },
    examples: {
      invalid_request: ['invalid_request_member'],
      overloaded: ['overloaded', 'overloaded_loop'],
      rate_limited: ['rate_limited', 'rate_limited_exchanges', 'rate_limited_credentials'],
      upstream_unavailable: ['upstream_unavailable', 'upstream_unavailable_min_expires_in'],
    },
  },
  purgeTokens: {
    tag: 'tokens',
    summary: 'Make the broker forget tokens',
    description:
      'Needs `purge`. At least one of `tenant`, `scope` and `application`, which all have to match, or `all=true` by itself. ' +
      'Forgotten are the tokens, what is remembered of failures to get them, and what comes of exchanges that are under ' +
      'way: the next request asks Entra. Tokens that were handed out stay valid until they expire.',
    guarded: true,
    parameters: {
      tenant: {
        name: { summary: 'By its name in the policy', value: 'contoso' },
        id: { summary: 'By its id', value: contoso },
      },
      scope: { graph: { summary: 'One scope', value: graph } },
      application: { default: { summary: 'One application registration', value: 'default' } },
      all: { everything: { summary: 'Everything, by itself', value: 'true' } },
    },
    answers: {
      200: {
        description: 'How many tokens were dropped, possibly none.',
        headers: headersOf('Cache-Control'),
        content: json('Purged', { some: { summary: 'On this replica', value: { dropped: 12, replicas: 'this' } } }),
      },
    },
    examples: {
      invalid_request: ['invalid_request_filter'],
      invalid_tenant: ['invalid_tenant_parameter'],
      not_permitted: ['not_permitted_purge'],
      rate_limited: ['rate_limited_credentials'],
    },
  },
}
