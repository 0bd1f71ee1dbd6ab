import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { stringify } from 'yaml'
import { errorTable, type ErrorCode } from '../src/errors.ts'
import { componentsOf, headersOf, tags, type Description } from './components.ts'
import { descriptions, introduction } from './descriptions.ts'
import { endpointWords } from './endpoint-words.ts'
import { protocolErrorExamples } from './protocol-error-examples.ts'
import type { ErrorResponse } from '../src/http/schemas/problem-responses.ts'
import { tokenEndpoints } from '../src/http/token-endpoints/all.ts'
import { packageRoot, version } from '../src/service/package.ts'
import { readRoutes, type Route } from './routes.ts'

/**
 * `node openapi/build.ts` writes openapi.yaml; with `--check` it says whether it is up to date and exits with 1 if not.
 * Paths, methods, parameters, bodies and errors come from the routes, which @fastify/swagger reads. Texts and the other
 * responses come from `openapi/descriptions.ts`. The `operationId` connects the two.
 */

const file = join(packageRoot, 'openapi.yaml')

type Fields = Record<string, unknown>
type Schema = Readonly<Fields>

/** The texts of a route. Throws if there are none, and if only the route or only its texts have a request body. */
function wordsOf({ operationId, path, method, requestBody }: Route): Description {
  const words = descriptions[operationId]
  if (!words) throw new Error(`${method} ${path}: openapi/descriptions.ts has no text for its operationId`)
  if (!words.request !== !requestBody)
    throw new Error(`${operationId}: either the route or openapi/descriptions.ts has a request body, but not both`)
  return words
}

/** Creates the whole document. */
async function describeBroker(): Promise<Schema> {
  const routes = await readRoutes()
  const unused = new Set(Object.keys(descriptions)).difference(new Set(routes.map(({ operationId }) => operationId)))
  if (unused.size > 0)
    throw new Error(`openapi/descriptions.ts has texts for operationIds that no route has: ${[...unused].join(', ')}`)

  const operations = routes.map(route => ({ ...route, operation: operationOf(route, wordsOf(route)) }))
  const responses = shareResponses(operations.map(({ operation }) => operation.responses))
  const paths: Record<string, Fields> = {}
  for (const { path, method, operation } of operations) paths[path] = { ...paths[path], [method]: operation }
  const bodies = routes.flatMap(route => {
    const name = wordsOf(route).request?.name
    return name === undefined ? [] : [[name, Object.values(route.requestBody?.content ?? {})[0]?.schema]]
  })
  const schemas = Object.fromEntries(endpointWords.flatMap(words => Object.entries(words.schemas)))
  const components = componentsOf(schemas, protocolErrorExamples(tokenEndpoints(), exampleNamesOf(routes)))
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

/** One operation: its route joined with its texts. */
function operationOf({ operationId, parameters, requestBody, responses }: Route, words: Description) {
  const { request } = words
  const [mediaType = ''] = Object.keys(requestBody?.content ?? {})
  const errors = Object.entries(responses).map(([status, response]) => [status, errorOf(status, response, words)])
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
      ...words.responses,
      ...Object.fromEntries(errors),
      default: { $ref: '#/components/responses/Unrouted' },
    } as Fields,
  }
}

function parameterOf(parameter: Schema & { readonly name: string }, words: Description): Schema {
  const { name, in: place, required, description, schema } = parameter
  return { name, in: place, required, description, schema, examples: words.parameters?.[name] }
}

/** The error examples to which the responses of the routes refer. */
const exampleNamesOf = (routes: readonly Route[]): ReadonlySet<string> =>
  new Set(
    routes
      .flatMap(({ responses }) => Object.values(responses))
      .flatMap(({ content }) => Object.values(content))
      .flatMap(({ examples }) => Object.values(examples))
      .map(({ $ref }) => $ref.slice('#/components/examples/'.length)),
  )

/** The errors of one status: with headers and, if they are problem details, with the operation's own examples. */
function errorOf(status: string, response: ErrorResponse, words: Description): Schema {
  const problem = response.content['application/problem+json']
  if (!problem) return { ...response, headers: protocolHeaders(status) }
  const { description } = response
  const codes = Object.keys(problem.examples) as ErrorCode[]
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
        schema: problem.schema,
        examples: Object.fromEntries(names.map(name => [name, { $ref: `#/components/examples/${name}` }])),
      },
    },
  }
}

/** The headers of an error in a protocol other than problem details, where they depend on the status alone. */
const protocolHeaders = (status: string) =>
  headersOf(
    'Cache-Control',
    ...(status === '401' ? (['WWW-Authenticate-Protocols'] as const) : []),
    ...(status === '429' || status === '503' ? (['Retry-After'] as const) : []),
    ...(status === '429' ? (['RateLimit-Policy', 'RateLimit'] as const) : []),
  )

/**
 * Replaces errors that several operations share by references.
 * @returns the shared errors, named after their examples: `UnauthenticatedOrInvalidToken`
 */
function shareResponses(all: readonly Fields[]): Fields {
  const shared: Fields = {}
  const places = all.flatMap(responses => Object.keys(responses).map(status => ({ responses, status })))
  const alike = Map.groupBy(places, ({ responses, status }) => JSON.stringify(responses[status]))
  for (const [text, found] of alike) {
    const { content } = JSON.parse(text) as Partial<ErrorResponse>
    const examples = content?.['application/problem+json']?.examples
    if (!examples || found.length === 1) continue
    const name = Object.keys(examples).map(pascalCase).join('Or')
    if (name in shared) throw new Error(`two different shared responses have the name ${name}`)
    shared[name] = JSON.parse(text)
    for (const { responses, status } of found) responses[status] = { $ref: `#/components/responses/${name}` }
  }
  return shared
}

const pascalCase = (code: string): string =>
  code.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** The text of openapi.yaml, as prettier formats it. */
export async function openapiText(): Promise<string> {
  const head = '# Made from the routes by openapi/build.ts: change those, or the words beside it.\n'
  // Drops what is not JSON, and quotes what YAML 1.1 would read as a time.
  const document: unknown = JSON.parse(JSON.stringify(await describeBroker()))
  const text = head + stringify(document, { lineWidth: 0, compat: 'yaml-1.1' })
  return format(text, { ...(await resolveConfig(file)), filepath: file })
}

if (import.meta.main) {
  const text = await openapiText()
  if (!process.argv.includes('--check')) await writeFile(file, text)
  else if ((await readFile(file, 'utf8')) !== text) {
    process.stderr.write('openapi.yaml is outdated: run "npm run openapi"\n')
    process.exitCode = 1
  }
}
