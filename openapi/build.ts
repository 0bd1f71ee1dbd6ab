import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { stringify } from 'yaml'
import { errorTable, type ErrorCode } from '../src/errors.ts'
import { components, descriptions, headersOf, introduction, tags, type Description } from './descriptions.ts'
import type { DialectResponse } from '../src/http/schemas/protocol-responses.ts'
import type { ProblemResponse } from '../src/http/schemas/problem-responses.ts'
import { packageRoot, version } from '../src/service/package.ts'
import { readRoutes, type Route } from './routes.ts'

/**
 * `node openapi/build.ts` writes openapi.yaml; with `--check` it says whether it is up to date and exits with 1 if not.
 * Paths, methods, parameters, bodies and errors are what the routes declare, read off them by @fastify/swagger; the words
 * and the answers are those of `openapi/descriptions.ts`, joined by the `operationId`.
 */

const file = join(packageRoot, 'openapi.yaml')

type Members = Record<string, unknown>
type Schema = Readonly<Members>

/** The words for a route; a route without any, and words without a route, are faults. */
function wordsOf({ operationId, path, method, requestBody }: Route): Description {
  const words = descriptions[operationId]
  if (!words) throw new Error(`${method} ${path} has no operationId that openapi/descriptions.ts describes`)
  if (!words.request !== !requestBody) throw new Error(`${operationId}: a body without words, or words without a body`)
  return words
}

/** The whole document. */
async function describeBroker(): Promise<Schema> {
  const routes = await readRoutes()
  const unused = new Set(Object.keys(descriptions)).difference(new Set(routes.map(({ operationId }) => operationId)))
  if (unused.size > 0) throw new Error(`described, but the operationId of no route: ${[...unused].join(', ')}`)

  const operations = routes.map(route => ({ ...route, operation: operationOf(route, wordsOf(route)) }))
  const responses = shareResponses(operations.map(({ operation }) => operation.responses))
  const paths: Record<string, Members> = {}
  for (const { path, method, operation } of operations) paths[path] = { ...paths[path], [method]: operation }
  const bodies = routes.flatMap(route => {
    const name = wordsOf(route).request?.name
    return name === undefined ? [] : [[name, Object.values(route.requestBody?.content ?? {})[0]?.schema]]
  })
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tenant token broker',
      version,
      summary: 'Tenant-scoped Microsoft Entra access tokens for authenticated, policy-checked callers',
      description: introduction,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'The broker that serves this document.' }],
    tags,
    paths,
    components: {
      ...components,
      schemas: { ...Object.fromEntries(bodies), ...components.schemas },
      responses: { ...responses, ...components.responses },
    },
  }
}

/** One operation: what its route says and what is said about it. */
function operationOf({ operationId, parameters, requestBody, responses }: Route, words: Description) {
  const { request } = words
  const [mediaType = ''] = Object.keys(requestBody?.content ?? {})
  const problems = Object.entries(responses).map(([status, response]) => [status, problemOf(status, response, words)])
  return {
    operationId,
    tags: [words.tag],
    summary: words.summary,
    description: words.description,
    security: words.guarded ? (words.security ?? [{ bearerAuth: [] }, { clientCertificate: [] }]) : [],
    ...(parameters && { parameters: parameters.map(parameter => parameterOf(parameter, words)) }),
    ...(request && {
      requestBody: {
        required: true,
        content: {
          [mediaType]: { schema: { $ref: `#/components/schemas/${request.name}` }, examples: request.examples },
        },
      },
    }),
    responses: {
      ...words.answers,
      ...Object.fromEntries(problems),
      default: { $ref: '#/components/responses/Unrouted' },
    } as Members,
  }
}

function parameterOf(parameter: Schema & { readonly name: string }, words: Description): Schema {
  const { name, in: place, required, description, schema } = parameter
  return { name, in: place, required, description, schema, examples: words.parameters?.[name] }
}

/** The errors of one status: with its headers, and with examples of the operation's own. */
function problemOf(status: string, response: ProblemResponse | DialectResponse, words: Description): Schema {
  if ('application/json' in response.content) return dialectProblemOf(status, response)
  const { description, content } = response
  const { schema, examples } = content['application/problem+json']
  const codes = Object.keys(examples) as ErrorCode[]
  const names = codes.flatMap(code => words.examples?.[code] ?? [code])
  return {
    description,
    headers: headersOf(
      'Cache-Control',
      ...(codes.every(code => errorTable[code].status === 401) ? (['WWW-Authenticate'] as const) : []),
      ...(codes.every(code => errorTable[code].retryable) ? (['Retry-After'] as const) : []),
      ...(codes.includes('rate_limited') ? (['RateLimit-Policy', 'RateLimit'] as const) : []),
    ),
    content: {
      'application/problem+json': {
        schema,
        examples: Object.fromEntries(names.map(name => [name, { $ref: `#/components/examples/${name}` }])),
      },
    },
  }
}

/** The same in a protocol of others. */
const dialectProblemOf = (status: string, response: ProblemResponse | DialectResponse): Schema => ({
  ...response,
  headers: headersOf(
    'Cache-Control',
    ...(status === '401' ? (['WWW-Authenticate-Protocols'] as const) : []),
    ...(status === '429' || status === '503' ? (['Retry-After'] as const) : []),
    ...(status === '429' ? (['RateLimit-Policy', 'RateLimit'] as const) : []),
  ),
})

/**
 * Replaces the errors that several operations have alike by references.
 * @returns what they lead to, named after the examples: `UnauthenticatedOrInvalidToken`
 */
function shareResponses(all: readonly Members[]): Members {
  const shared: Members = {}
  const places = all.flatMap(responses => Object.keys(responses).map(status => ({ responses, status })))
  const alike = Map.groupBy(places, ({ responses, status }) => JSON.stringify(responses[status]))
  for (const [text, found] of alike) {
    const { content } = JSON.parse(text) as Partial<ProblemResponse>
    const examples = content?.['application/problem+json']?.examples
    if (!examples || found.length === 1) continue
    const name = Object.keys(examples).map(pascalCase).join('Or')
    if (name in shared) throw new Error(`two responses would be ${name}`)
    shared[name] = JSON.parse(text)
    for (const { responses, status } of found) responses[status] = { $ref: `#/components/responses/${name}` }
  }
  return shared
}

const pascalCase = (code: string): string =>
  code.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** The text of openapi.yaml, as prettier leaves it. */
export async function openapiText(): Promise<string> {
  const head = '# Made from the routes by openapi/build.ts: change those, or the words beside it.\n'
  // Only what is JSON; and quoted where YAML 1.1 would read a time.
  const document: unknown = JSON.parse(JSON.stringify(await describeBroker()))
  const text = head + stringify(document, { lineWidth: 0, compat: 'yaml-1.1' })
  return format(text, { ...(await resolveConfig(file)), filepath: file })
}

if (import.meta.main) {
  const text = await openapiText()
  if (!process.argv.includes('--check')) await writeFile(file, text)
  else if ((await readFile(file, 'utf8')) !== text) {
    process.stderr.write('openapi.yaml is not what the routes say: run "npm run openapi"\n')
    process.exitCode = 1
  }
}
