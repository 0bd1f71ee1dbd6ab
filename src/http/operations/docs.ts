import type { ReadStream } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { parse } from 'yaml'
import { BrokerError } from '../../errors.ts'
import { problems, routeErrors } from '../schemas/problem-responses.ts'
import { readOnce } from './read-once.ts'

/** The page: Swagger UI over `/openapi.json`, every part of it from this server. */
const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Tenant token broker: API</title>
    <link rel="icon" type="image/png" href="docs/favicon-32x32.png">
    <link rel="stylesheet" href="docs/swagger-ui.css">
  </head>
  <body>
    <div id="docs"></div>
    <noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> does not.</noscript>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/start.js"></script>
  </body>
</html>
`

/** For reading only: no request is sent from the page, and there is no field for a credential. */
const start = `const nothing = () => () => null
SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  validatorUrl: null,
  supportedSubmitMethods: [],
  plugins: [() => ({ wrapComponents: { authorizeBtn: nothing, authorizeOperationBtn: nothing } })],
})
`

/** The files of the page, with their media types; all but `start.js` are Swagger UI's own. No other file is served. */
const assets = {
  'start.js': 'text/javascript; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'swagger-ui.css': 'text/css; charset=utf-8',
  'favicon-32x32.png': 'image/png',
} as const

/** The page may load nothing from another origin and nothing inline, styles included; Swagger UI's icons are data URLs. */
const headers = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

/**
 * Adds `/openapi.json` and `/docs`: open, static, without data of this broker. The files are read on first use, because
 * few replicas ever get a request for them.
 *
 * @param root the folder with `openapi.yaml` and `node_modules`
 */
export function addDocs(app: FastifyInstance, root: string): void {
  const config = { endpoint: 'docs' } as const
  const response = problems(...routeErrors)

  const description = readOnce(() => readDescription(root))
  app.get('/openapi.json', { schema: { operationId: 'getDescription', response }, config }, async (_request, reply) => {
    const text = await description()
    return reply.headers(headers).type('application/json; charset=utf-8').send(text)
  })

  const home = { ...config, isHome: true }
  app.get('/docs', { schema: { operationId: 'getDocs', response }, config: home }, (_request, reply) =>
    reply.headers(headers).type('text/html; charset=utf-8').send(page),
  )
  addAssets(app, root)
}

function addAssets(app: FastifyInstance, root: string): void {
  const files = new Map(
    Object.entries(assets).map(([file, type]) => [file, { type, open: () => openAsset(root, file) }]),
  )
  const schema = {
    operationId: 'getDocsAsset',
    params: {
      type: 'object',
      properties: { file: { type: 'string', enum: Object.keys(assets), description: 'A file that the page names.' } },
      required: ['file'],
    },
    response: problems(...routeErrors, 'not_found'),
  }
  app.get<{ Params: { file: string } }>(
    '/docs/:file',
    { schema, config: { endpoint: 'docs' } },
    async (request, reply) => {
      const asset = files.get(request.params.file)
      if (!asset) throw new BrokerError('not_found', 'No endpoint has this path.')
      const content = await asset.open()
      return reply.headers(headers).type(asset.type).send(content)
    },
  )
}

const readDescription = async (root: string): Promise<string> =>
  JSON.stringify(parse(await readFile(join(root, 'openapi.yaml'), 'utf8')))

/** Streams the file, so that a client that reads slowly or not at all does not fill the memory. */
async function openAsset(root: string, file: string): Promise<ReadStream | string> {
  if (file === 'start.js') return start
  const handle = await open(join(root, 'node_modules/@fastify/swagger-ui/static', file))
  return handle.createReadStream()
}
