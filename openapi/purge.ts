import { headersOf, json, type Description } from './components.ts'

const graph = 'https://graph.microsoft.com/.default'
const contoso = '1a2b3c4d-0000-4000-8000-000000000002'

/** The texts of `DELETE /tokens`. */
export const tokenOperations: Readonly<Record<string, Description>> = {
  purgeTokens: {
    tag: 'tokens',
    summary: 'Purge cached tokens',
    description:
      'Needs `purge`. Send at least one of `tenant`, `scope`, `application` and `agent`, which must all match, or `all=true` by ' +
      'itself. Removes the matching tokens and failures from the cache, and discards the results of exchanges in flight, ' +
      'so that the next request goes to Entra. Tokens that were already issued stay valid until they expire. Replicas that ' +
      'share a second level are all purged. If `replicas` is not `all`, some of them may still serve the tokens: repeat ' +
      'the purge.',
    guarded: true,
    parameters: {
      tenant: {
        name: { summary: 'By its name in the policy', value: 'contoso' },
        id: { summary: 'By its id', value: contoso },
      },
      scope: {
        graph: { summary: 'One scope', value: graph },
        name: { summary: 'By its name in the policy', value: 'graph' },
      },
      application: { default: { summary: 'One application registration', value: 'default' } },
      agent: { name: { summary: 'One agent identity', value: 'helper' } },
      all: { everything: { summary: 'Everything, by itself', value: 'true' } },
    },
    responses: {
      200: {
        description: 'The number of tokens removed; 0 if none matched.',
        headers: headersOf('Cache-Control'),
        content: json('Purged', {
          one: {
            summary: 'Without a second level, or while its store is unavailable',
            value: { dropped: 12, replicas: 'this' },
          },
          all: { summary: 'On all replicas', value: { dropped: 12, replicas: 'all' } },
          some: {
            summary: 'One of four replicas has not confirmed it in time',
            value: { dropped: 12, replicas: 'this', confirmed: 3, live: 4 },
          },
        }),
      },
    },
    examples: {
      invalid_request: ['invalid_request_filter'],
      not_permitted: ['not_permitted_purge'],
      rate_limited: ['rate_limited_credentials'],
    },
  },
}
